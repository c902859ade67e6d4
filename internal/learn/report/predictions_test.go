package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/learn/task"
)

// TestLine holds the bytes of a line: other programs read them.
func TestLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), PredictionsFile)
	w, err := AppendPredictions(path)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(Prediction{"401", "val", "student", "cd34", "ab12", `{"total": "<1>"}`, task.Fields{"total": "2"}, map[string]task.Grade{"total": {Exact: false, Loose: true}}, false, true, 20, 7, 12.5})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Prediction{ID: "401", Role: "student"}); err == nil {
		t.Error("the same item of a role is written twice")
	}
	w.Close()
	got, _ := os.ReadFile(path)
	const want = `{"id":"401","split":"val","role":"student","key":"cd34","prompt_sha256":"ab12","answer":"{\"total\": \"<1>\"}","gold":{"total":"2"},"fields":{"total":{"exact":false,"loose":true}},"exact":false,"loose":true,"prompt_tokens":20,"answer_tokens":7,"time_ms":12.5}` + "\n"
	if string(got) != want {
		t.Errorf("line\n%s want\n%s", got, want)
	}
}

// TestTorn kills a writer at every byte of its second line: the first line stays, and writing goes on behind it.
func TestTorn(t *testing.T) {
	one, two := `{"id":"1","role":"a","answer":"x"}`+"\n", `{"id":"2","role":"a","answer":"日本"}`+"\n"
	path := filepath.Join(t.TempDir(), PredictionsFile)
	for cut := 0; cut <= len(two); cut++ {
		if err := os.WriteFile(path, []byte(one+two[:cut]), 0o644); err != nil {
			t.Fatal(err)
		}
		whole := 1
		if cut >= len(two)-1 { // only the line break is missing
			whole = 2
		}
		if got, err := ReadPredictions(path); err != nil || len(got) != whole {
			t.Fatalf("cut at %d: read %d lines, want %d (%v)", cut, len(got), whole, err)
		}
		w, err := AppendPredictions(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := w.Done("a", "2"); ok != (whole == 2) {
			t.Fatalf("cut at %d: item 2 done: %v", cut, ok)
		}
		if err := w.Write(Prediction{ID: "3", Role: "a"}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got, err := ReadPredictions(path); err != nil || len(got) != whole+1 {
			t.Fatalf("cut at %d: %d lines after going on, want %d (%v)", cut, len(got), whole+1, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, PredictionsFile)
	good := `{"id":"1","role":"a"}` + "\n"
	for text, want := range map[string]string{
		"{\n" + good: "line 1:", good + good: "line 2: a 1 stands on line 1", good + `{"id":"2"}` + "\n": "line 2: no id or no role", good + `{"id":2,"role":"a"}` + "\n": "line 2:",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadPredictions(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{"{": "manifest.json:", `{"format": 2}`: "format 2", `{"format": 1}`: "no fields", `{"format": 1, "fields": [{"name": "a"}]}`: "metric"} {
		if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("manifest %q: %v, want %q", text, err, want)
		}
	}
	loss := filepath.Join(dir, LossFile)
	if err := os.WriteFile(loss, []byte(`{"step":1,"loss":3}`+"\n"+`{"step":2,"loss":2}`+"\n"+`{"step":2,"loss":2.5}`+"\n"+`{"step":3,"lo`), 0o644); err != nil {
		t.Fatal(err)
	}
	if points, err := readLoss(loss); err != nil || len(points) != 2 || points[1].Loss != 2.5 {
		t.Errorf("loss of a resumed run: %+v, %v", points, err)
	}
}

func FuzzScanPredictions(f *testing.F) {
	f.Add(`{"id":"1","role":"teacher","answer":"{\"a\": 1}","gold":{"a":"1"},"time_ms":3}` + "\n" + `{"id":"1","role":"student"}`)
	f.Add("{}\n\n{")
	f.Fuzz(func(t *testing.T, text string) {
		lines, whole, err := scanPredictions(strings.NewReader(text))
		if whole > int64(len(text)) {
			t.Fatalf("%d whole bytes of %d", whole, len(text))
		}
		if err != nil {
			return
		}
		again, _, err := scanPredictions(strings.NewReader(text[:whole]))
		if err != nil || len(again) != len(lines) {
			t.Fatalf("the whole part reads as %d lines, %v; first %d", len(again), err, len(lines))
		}
		m := &Manifest{Metric: "loose", Fields: []task.Field{{Name: "a"}}}
		if _, err := renderHTML(figures(m, lines, nil)); err != nil {
			t.Fatal(err)
		}
	})
}
