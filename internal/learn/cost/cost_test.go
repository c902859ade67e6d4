package cost

import (
	"math"
	"strings"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestPublished holds the arithmetic to figures published by others or written down in the notes.
func TestPublished(t *testing.T) {
	near(t, "200 tokens/s on 2 vCPU", PerMillion(0.08, 200, 1), 0.11, 0.005)
	near(t, "37 tokens/s on 2 vCPU", PerMillion(0.08, 37, 1), 0.60, 0.005)
	near(t, "speed that meets deepseek-flash", SpeedFor(0.08, 0.60), 37, 0.1)
}

func TestTable(t *testing.T) {
	if p := Default().Models; len(p) == 0 || p[0].Model != "deepseek-flash" || p[0].Output != 0.60 {
		t.Errorf("prices %+v", p)
	}
	for in, want := range map[string]string{
		"date: x\ncolour: red": "prices:2:", "machine: {hour: 1}": "no date", "date: x\nmachine: {hour: -1}": "machine.hour",
		"date: x\nmodels: [{model: a, input: .nan}]": `model "a"`, "date: [": "prices",
	} {
		if _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want %q", in, err, want)
		}
	}
}

func TestBreakEven(t *testing.T) {
	if n, ok := BreakEven(1, 0.003, 0.001); !ok || n != 500 {
		t.Errorf("BreakEven = %v, %v, want 500", n, ok)
	}
	for _, after := range []float64{1, 2, math.NaN()} {
		if _, ok := BreakEven(1, 1, after); ok {
			t.Errorf("breaks even at a price of %v instead of 1", after)
		}
	}
}
