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
	stages, hour := DeepSeekV3()
	total := 0.0
	for i, want := range []float64{5.328e6, 0.238e6, 0.01e6} {
		near(t, stages[i].Name, stages[i].Hours*hour, want, 500)
		total += stages[i].Hours * hour
	}
	near(t, "DeepSeek-V3", total, 5.576e6, 500)

	near(t, "200 tokens/s on 2 vCPU", PerMillion(0.08, 200, 1), 0.11, 0.005)
	near(t, "37 tokens/s on 2 vCPU", PerMillion(0.08, 37, 1), 0.60, 0.005)
	near(t, "speed that meets deepseek-flash", SpeedFor(0.08, 0.60), 37, 0.1)
	near(t, "AdamW of 135M, GB", float64(StateBytes(134_515_008))/1e9, 2.15, 0.05)
	near(t, "V3, FLOP a token", TrainFLOP(37e9, 1, Full, false), 222e9, 1e9)
	near(t, "LoRA with recompute", TrainFLOP(10, 10, LoRA, true), 600, 0)
	near(t, "generation", GenerateFLOP(10, 10), 200, 0)
}

func TestTable(t *testing.T) {
	table := Default()
	p, ok := table.Price("deepseek/deepseek-flash")
	if !ok {
		t.Fatal("no price for deepseek-flash")
	}
	near(t, "a million of each", p.Tokens(1e6, 1e6, 1e6), 0.753, 1e-9)
	if _, ok := table.Price("flash"); ok {
		t.Error("half a name has a price")
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
