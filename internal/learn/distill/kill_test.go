package distill

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// childEnv holds the options of a run that another process makes and this test kills.
const childEnv = "RETORT_DISTILL_CHILD"

// childPause makes each unit of the child's work long enough to be killed in.
const childPause = 10 * time.Millisecond

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(child(text))
	}
	os.Exit(m.Run())
}

// childOptions is what of Options goes to the child.
type childOptions struct {
	Teacher, Student, Out string
	Seed                  uint64
}

func child(text string) int {
	var c childOptions
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return 3
	}
	o := Options{Recipe: "testdata/colours", Teacher: Source{Path: c.Teacher}, Student: Source{Path: c.Student}, Out: c.Out, Seed: c.Seed, Threads: 2, Width: 3,
		Progress: func(Progress) {
			os.Stdout.WriteString(".") // tells the parent that a unit is done
			time.Sleep(childPause)
		}}
	if _, err := Run(context.Background(), o); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

const wantKills = 10

// TestKilledAnywhereIsTheSame kills a run ten times with SIGKILL and compares what it comes to with a run that was
// left alone: the same predictions and losses, no question asked twice.
func TestKilledAnywhereIsTheSame(t *testing.T) {
	o := tinyOptions(t)
	whole := o
	whole.Out = o.Out + "-whole"
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(childOptions{o.Teacher.Path, o.Student.Path, o.Out, o.Seed})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	kills := 0
	for ended := false; !ended; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+string(text))
		cmd.Stderr = os.Stderr
		units, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if kills < wantKills {
			// After some units, and somewhere inside of the next: that does not depend on how fast the machine is.
			_, err = io.CopyN(io.Discard, units, int64(1+rng.IntN(6)))
			time.Sleep(time.Duration(rng.Int64N(int64(3 * childPause))))
		} else {
			_, err = io.Copy(io.Discard, units)
		}
		if ended = err == io.EOF || kills == wantKills; !ended {
			cmd.Process.Kill()
			kills++
		}
		if err := cmd.Wait(); ended && err != nil {
			t.Fatalf("after %d kills: %v", kills, err)
		}
	}
	if kills != wantKills {
		t.Errorf("killed %d times before the end, want %d: the test saw too little", kills, wantKills)
	}
	if got, want := settle(t, o.Out).text(), settle(t, whole.Out).text(); got != want {
		t.Errorf("after %d kills:\n%s\nwant\n%s", kills, got, want)
	}
}
