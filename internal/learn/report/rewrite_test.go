//go:build linux || darwin || freebsd

package report

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// writeThree writes predictions of two roles and returns their path and content.
func writeThree(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), PredictionsFile)
	w, err := AppendPredictions(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Prediction{{ID: "a", Role: RoleTeacher, Answer: "1", PromptSHA256: strings.Repeat("0", 1<<20)}, {ID: "a", Role: RoleStudent, Answer: "2"}, {ID: "b", Role: RoleStudent, Answer: "3"}} {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// What is rewritten is another file under the old name: whoever holds the old one still reads it whole.
func TestRewritePredictions(t *testing.T) {
	path, before := writeThree(t)
	held := path + ".held" // a second name of the same file
	if err := os.Link(path, held); err != nil {
		t.Fatal(err)
	}
	same := func(p *Prediction) bool { return true }
	if err := RewritePredictions(path, same); err != nil {
		t.Fatal(err)
	}
	a, _ := os.Stat(path)
	b, _ := os.Stat(held)
	if !os.SameFile(a, b) {
		t.Error("a file without a change was written again")
	}
	err := RewritePredictions(path, func(p *Prediction) bool {
		if p.Answer == "3" {
			p.Exact = true
		}
		return p.Answer != "2"
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadPredictions(path)
	if err != nil || len(all) != 2 || all[0].Answer != "1" || all[0].Exact || all[1].Answer != "3" || !all[1].Exact {
		t.Errorf("rewritten: %+v, %v", all, err)
	}
	if got, err := os.ReadFile(held); err != nil || !bytes.Equal(got, before) {
		t.Errorf("the old file was changed in place: %d bytes, %v", len(got), err)
	}
	if err := RewritePredictions(filepath.Join(t.TempDir(), "none"), same); err != nil {
		t.Errorf("no file: %v", err)
	}
}

// A disk that fills up in the middle leaves the old predictions: hours of an exam. The limit on the size of files stands
// in for the disk.
func TestRewriteFails(t *testing.T) {
	path, before := writeThree(t)
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	small := old
	small.Cur = uint64(len(before) / 2) // more than the log that go test keeps of a run
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	err := RewritePredictions(path, func(p *Prediction) bool {
		p.Answer += strings.Repeat("x", 10)
		return true
	})
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Error("no error on a full disk")
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, before) {
		t.Errorf("a failure left %d bytes of %d, %v", len(got), len(before), err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left over: %v", list)
	}
}
