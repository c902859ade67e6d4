package distill

import (
	"runtime"
	"strings"
	"time"

	"retort/internal/compute/cpu"
	"retort/internal/learn/cost"
	"retort/internal/learn/report"
)

// newManifest fills in what is known from the start.
func (r *run) newManifest() *report.Manifest {
	rec := r.task.Recipe
	m := &report.Manifest{
		Task: rec.Name, Description: rec.Description, Generated: rec.Data.Generated, Split: rec.Exam.Split, Metric: rec.Exam.Metric, Fields: rec.Fields,
		Seed: r.o.Seed, Command: r.o.Command, Version: r.o.Version, Go: runtime.Version(), Started: r.state.Started, Prices: cost.Default(),
		Machine: report.Machine{CPU: cpu.Name(), Kernel: strings.Join(cpu.Kernels(), " "), OS: runtime.GOOS + "/" + runtime.GOARCH, Threads: r.o.Threads},
		Hashes:  map[string]string{"recipe": r.task.Hash, "data": r.task.DataHash()},
	}
	if r.o.Budget > 0 {
		m.Budget = r.o.Budget.String()
	}
	for _, s := range []Source{r.o.Teacher, r.o.Student} {
		if s.Note != "" {
			m.Notes = append(m.Notes, s.Note)
		}
	}
	return m
}

// phaseOrder lists the phases as a report shows them, and whether they are part of making the student.
var phaseOrder = []struct {
	name string
	once bool
}{
	{"load the teacher", true}, {"teach", true}, {"verify", true}, {"load the student", true}, {"train", true}, {"write the student", true},
	{"exam of the baseline", false}, {"load for the exam", false}, {"exam of the teacher", false}, {"exam of the base", false}, {"exam of the student", false},
}

// writeManifest writes manifest.json.
func (r *run) writeManifest() error {
	r.state.settle()
	r.m.Finished = time.Now().UTC().Format(time.RFC3339)
	for _, p := range phaseOrder {
		if s := r.state.Seconds[p.name]; s > 0 {
			r.m.Phases = append(r.m.Phases, report.Phase{Name: p.name, Seconds: s, Once: p.once})
		}
	}
	return r.m.Write(r.o.Out)
}
