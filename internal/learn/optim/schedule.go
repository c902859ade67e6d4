package optim

import (
	"fmt"
	"math"
)

// Schedule is the learning rate over a run of Steps steps: it rises over Warmup, and falls to Min·Peak. It counts
// steps and never time, so that a run on a slower machine learns the same.
type Schedule struct {
	Kind   string  // constant, linear, cosine or wsd (warm up, stay, decay)
	Peak   float64 // the highest rate
	Steps  int
	Warmup int
	Min    float64 // the last rate, as a share of Peak
	Decay  int     // wsd: the last steps, over which the rate falls
}

// Check reports a schedule that makes no sense.
func (s Schedule) Check() error {
	switch s.Kind {
	case "constant", "linear", "cosine", "wsd":
	default:
		return fmt.Errorf("optim: schedule %q, want constant, linear, cosine or wsd", s.Kind)
	}
	if s.Steps < 1 {
		return fmt.Errorf("optim: a schedule of %d steps, want 1 or more", s.Steps)
	}
	for _, n := range []struct {
		name string
		v    int
	}{{"warm-up", s.Warmup}, {"decay", s.Decay}} {
		if n.v < 0 || n.v > s.Steps {
			return fmt.Errorf("optim: %s of %d steps, want 0 to %d", n.name, n.v, s.Steps)
		}
	}
	if !(s.Peak > 0 && s.Peak < 10) {
		return fmt.Errorf("optim: peak learning rate %g, want above 0 and below 10", s.Peak)
	}
	if !(s.Min >= 0 && s.Min <= 1) {
		return fmt.Errorf("optim: last learning rate %g of the peak, want 0 to 1", s.Min)
	}
	return nil
}

// At returns the rate of step i, counted from 0.
func (s Schedule) At(i int) float64 {
	if i < s.Warmup {
		return s.Peak * float64(i+1) / float64(s.Warmup)
	}
	x := 0.0 // how far the fall is, 0 to 1
	switch s.Kind {
	case "linear", "cosine":
		x = float64(i-s.Warmup) / float64(max(s.Steps-s.Warmup, 1))
	case "wsd":
		x = float64(i-(s.Steps-s.Decay)) / float64(max(s.Decay, 1))
	}
	x = min(max(x, 0), 1)
	if s.Kind == "cosine" {
		x = (1 - math.Cos(math.Pi*x)) / 2
	}
	return s.Peak * (1 - x*(1-s.Min))
}
