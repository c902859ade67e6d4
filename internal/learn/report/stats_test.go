package report

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

type golden struct {
	Wilson []struct {
		K, N      int
		Low, High float64
	}
	McNemar []struct {
		B, C int
		P    float64
	}
	Bootstrap []struct {
		B, C, N   int
		Low, High float64
	}
	Detectable []struct {
		N                      int
		Discordant, Difference float64
	}
	Values     []float64
	Percentile []struct{ Q, Value float64 }
}

// TestStatistics compares with SciPy, statsmodels and NumPy; ref/stats.py made the file.
func TestStatistics(t *testing.T) {
	b, err := os.ReadFile("testdata/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	// Both sides compute in float64; what remains is the rounding of log-gamma, relative to p.
	const tolerance = 1e-10
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s = %.12g, want %.12g", what, got, want)
		}
	}
	for _, c := range g.Wilson {
		low, high := Wilson(c.K, c.N)
		near("Wilson low", low, c.Low, tolerance)
		near("Wilson high", high, c.High, tolerance)
	}
	for _, c := range g.McNemar {
		near("McNemar", McNemar(c.B, c.C), c.P, tolerance)
	}
	for _, c := range g.Detectable {
		near("Detectable", Detectable(c.N, c.Discordant), c.Difference, tolerance)
	}
	slices.Sort(g.Values)
	for _, c := range g.Percentile {
		near("percentile", percentile(g.Values, c.Q), c.Value, tolerance)
	}
	for _, c := range g.Bootstrap {
		x, y := make([]float64, c.N), make([]float64, c.N)
		for i := range c.B {
			x[i] = 1
		}
		for i := range c.C {
			y[c.B+i] = 1
		}
		d, _ := Bootstrap(x, y, 7)
		// A quantile of 10,000 draws from a lattice of 1/n may fall on the next point of it.
		near("bootstrap low", d.Low, c.Low, 1/float64(c.N)+1e-12)
		near("bootstrap high", d.High, c.High, 1/float64(c.N)+1e-12)
		again, _ := Bootstrap(x, y, 7)
		if again != d {
			t.Errorf("the same seed gives %v, then %v", d, again)
		}
	}
}

func TestBootstrapRatio(t *testing.T) {
	x, y := make([]float64, 200), make([]float64, 200)
	for i := range x {
		x[i], y[i] = float64(i%2), 1 // the mean of x is a half of y's in every way but chance
	}
	if _, ratio := Bootstrap(x, y, 1); ratio.Low < 0.4 || ratio.High > 0.6 || ratio.Low >= 0.5 || ratio.High <= 0.5 {
		t.Errorf("ratio %v, want about 0.5 ± 0.07", ratio)
	}
	if d, ratio := Bootstrap(nil, nil, 1); d != (Interval{}) || ratio != (Interval{}) {
		t.Error("no items have an interval")
	}
	if low, high := Wilson(0, 0); low != 0 || high != 1 {
		t.Error("no trials have an interval narrower than [0, 1]")
	}
}
