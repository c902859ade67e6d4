package train

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"retort/internal/format/safetensors"
	"retort/internal/learn/data"
)

const childDir = "RETORT_TEST_TRAIN_DIR" // the folder of a run that is to be killed

// TestKilledAnywhere kills a run that saves after every step, at any moment. What it leaves resumes, and ends
// where an uninterrupted run does.
func TestKilledAnywhere(t *testing.T) {
	loader := &data.Loader{Examples: someExamples(9, 5, 20), Batch: 2, Tokens: 64}
	const total = 400
	if dir := os.Getenv(childDir); dir != "" {
		tr := newTrainer(t, fresh(t, "llama", 1), loader, options(dir, total))
		for {
			steps(t, tr, 1)
			if err := tr.Save(); err != nil {
				t.Fatal(err)
			}
			os.Stdout.WriteString("saved " + strconv.Itoa(tr.Step()) + "\n")
		}
	}
	dir, done := t.TempDir(), 0
	for kill := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAnywhere$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// After its first save, a moment that falls into one of the next steps or saves.
		lines := bufio.NewScanner(out)
		if lines.Scan() {
			time.Sleep(time.Duration(1+3*kill) * time.Millisecond)
		}
		cmd.Process.Kill()
		for lines.Scan() {
		}
		cmd.Wait()

		f, err := safetensors.Open(filepath.Join(dir, CheckpointName))
		if err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		step, _ := strconv.Atoi(f.Metadata["step"])
		f.Close()
		if step <= done || step >= total {
			t.Fatalf("after kill %d: step %d, before it was %d", kill, step, done)
		}
		done = step
	}
	m, whole := fresh(t, "llama", 5), fresh(t, "llama", 1)
	tr := newTrainer(t, m, loader, options(dir, total))
	if tr.Step() != done {
		t.Fatalf("resumed at %d, want %d", tr.Step(), done)
	}
	steps(t, newTrainer(t, whole, loader, options("", total)), done)
	sameBits(t, "killed six times", m, whole)
	lines, err := ReadLog(filepath.Join(dir, LogName))
	if err != nil || len(lines) != done {
		t.Errorf("%d lines of %d steps (%v)", len(lines), done, err)
	}
}
