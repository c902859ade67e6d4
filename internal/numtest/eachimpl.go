package numtest

import (
	"testing"

	"retort/internal/compute/cpu"
)

// EachImpl runs f once per level of kernels that this processor has, with every other level switched off, and once in
// plain Go, as subtests named after the level ("avx512", "generic"). A group of kernels without the level at hand
// then runs in plain Go, so each implementation is seen alone. All switches are as before when EachImpl returns.
//
// The switches belong to the whole process: f must not call t.Parallel.
func EachImpl(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	impls := cpu.Implementations()
	before := make([]bool, len(impls))
	for i, impl := range impls {
		before[i] = *impl.Toggle
	}
	defer func() {
		for i, impl := range impls {
			*impl.Toggle = before[i]
		}
	}()
	only := func(level string) {
		for i, impl := range impls {
			*impl.Toggle = before[i] && impl.Level() == level
		}
	}
	seen := map[string]bool{}
	for i, impl := range impls {
		level := impl.Level()
		if !before[i] || seen[level] {
			continue
		}
		seen[level] = true
		only(level)
		t.Run(level, f)
	}
	only("")
	t.Run("generic", f)
}
