package optim

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

func newRun(t testing.TB, threads int) *tensor.Run {
	pool := par.New(threads)
	t.Cleanup(pool.Close)
	return tensor.NewRun(pool)
}

func random(rng *rand.Rand, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * std)
	}
	return v
}

// stepTol: a step is lr times a number of the order of 1, computed in float32 from moments that are good to 2⁻²⁴ a
// step; what it is added to is rounded to 2⁻²⁴ of 1.
const stepTol = 1e-6

// TestAdamWAsPaper holds five steps, clipped and not, to the paper's formulas in float64. The gradients span
// several pieces, so that workers share a group.
func TestAdamWAsPaper(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		const n, few = piece + 37, 5
		matrix, norm := &Group{Name: "w", Data: random(rng, n, 1), Grad: make([]float32, n), Decay: true}, &Group{Name: "b", Data: random(rng, few, 1), Grad: make([]float32, few)}
		o := AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 100}
		updates := 0
		matrix.AfterUpdate = func() { updates++ }
		a := NewAdamW([]*Group{matrix, norm}, o)
		run := newRun(t, 2)
		type ref struct{ p, m, v []float64 }
		refs := []*ref{{p: wide(matrix.Data)}, {p: wide(norm.Data)}}
		for _, r := range refs {
			r.m, r.v = make([]float64, len(r.p)), make([]float64, len(r.p))
		}
		for step := 1; step <= 5; step++ {
			lr := 0.01 * float64(step)
			sum := 0.0
			for i, g := range a.Groups {
				copy(g.Grad, random(rng, len(g.Grad), []float64{0.2, 1, 3}[step%3]*float64(i+1)))
				for _, v := range g.Grad {
					sum += float64(v) * float64(v)
				}
			}
			want := math.Sqrt(sum)
			scale := min(1, o.Clip/want)
			for i, g := range a.Groups {
				r := refs[i]
				for j, v := range g.Grad {
					x := float64(v) * scale
					r.m[j] = o.Beta1*r.m[j] + (1-o.Beta1)*x
					r.v[j] = o.Beta2*r.v[j] + (1-o.Beta2)*x*x
					d := r.m[j] / (1 - math.Pow(o.Beta1, float64(step))) / (math.Sqrt(r.v[j]/(1-math.Pow(o.Beta2, float64(step)))) + o.Eps)
					if g.Decay {
						d += o.WeightDecay * r.p[j]
					}
					r.p[j] -= lr * d
				}
			}
			got, ok := a.Step(run, lr)
			if !ok || math.Abs(got-want) > 1e-5*want {
				t.Errorf("step %d: norm %v, %v, want %v", step, got, ok, want)
			}
			for i, g := range a.Groups {
				for j := range g.Data {
					if d := math.Abs(float64(g.Data[j]) - refs[i].p[j]); !(d <= stepTol*max(1, math.Abs(refs[i].p[j]))*float64(step)) {
						t.Fatalf("step %d: %s[%d] is %v, want %v", step, g.Name, j, g.Data[j], refs[i].p[j])
					}
					if g.Grad[j] != 0 {
						t.Fatalf("step %d: the gradient of %s is not cleared", step, g.Name)
					}
				}
			}
			if updates != step || a.Steps != step {
				t.Errorf("step %d: told %d times, counted %d", step, updates, a.Steps)
			}
		}
	})
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func TestWorkersDoNotMatter(t *testing.T) {
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		rng := rand.New(rand.NewPCG(3, 4))
		g := &Group{Data: random(rng, 3*piece+5, 1), Grad: random(rng, 3*piece+5, 1), Decay: true}
		NewAdamW([]*Group{g}, DefaultAdamW).Step(newRun(t, threads), 0.1)
		if want == nil {
			want = g.Data
		}
		if !slices.Equal(g.Data, want) {
			t.Errorf("%d workers: other bits than one", threads)
		}
	}
}

func TestGradientThatIsNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 3e38} { // the square of the last is not finite
		rng := rand.New(rand.NewPCG(5, 6))
		g := &Group{Data: random(rng, 10, 1), Grad: random(rng, 10, 1), Decay: true}
		before := slices.Clone(g.Data)
		g.Grad[7] = bad
		if _, ok := NewAdamW([]*Group{g}, DefaultAdamW).Step(newRun(t, 1), 0.1); ok {
			t.Errorf("%v: taken for a gradient", bad)
		}
		if !slices.Equal(g.Data, before) || g.M[0] != 0 || g.Grad[7] != 0 {
			t.Errorf("%v: changed something, or is still there", bad)
		}
	}
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		s    Schedule
		want map[int]float64
	}{
		{Schedule{Kind: "constant", Peak: 2, Steps: 10, Warmup: 4}, map[int]float64{0: 0.5, 1: 1, 3: 2, 4: 2, 9: 2}},
		{Schedule{Kind: "constant", Peak: 2, Steps: 10}, map[int]float64{0: 2, 9: 2}},
		{Schedule{Kind: "linear", Peak: 1, Steps: 10, Warmup: 2, Min: 0.2}, map[int]float64{0: 0.5, 1: 1, 2: 1, 6: 0.6, 10: 0.2, 99: 0.2}},
		{Schedule{Kind: "cosine", Peak: 1, Steps: 10, Warmup: 2, Min: 0}, map[int]float64{1: 1, 2: 1, 6: 0.5, 8: (1 - math.Sqrt(0.5)) / 2, 10: 0, 11: 0}},
		{Schedule{Kind: "wsd", Peak: 4, Steps: 10, Warmup: 1, Decay: 4, Min: 0.5}, map[int]float64{0: 4, 1: 4, 6: 4, 8: 3, 10: 2}},
	} {
		if err := c.s.Check(); err != nil {
			t.Error(err)
		}
		for i, want := range c.want {
			if got := c.s.At(i); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate of step %d is %v, want %v", c.s.Kind, i, got, want)
			}
		}
	}
	good := Schedule{Kind: "cosine", Peak: 1, Steps: 10, Warmup: 2}
	for want, spoil := range map[string]func(*Schedule){
		`schedule ""`:                                      func(s *Schedule) { s.Kind = "" },
		`schedule "Cosine"`:                                func(s *Schedule) { s.Kind = "Cosine" },
		"peak learning rate 0, want above 0":               func(s *Schedule) { s.Peak = 0 },
		"peak learning rate NaN, want above 0":             func(s *Schedule) { s.Peak = math.NaN() },
		"peak learning rate 10, want above 0 and below 10": func(s *Schedule) { s.Peak = 10 },
		"a schedule of 0 steps, want 1 or more":            func(s *Schedule) { s.Steps = 0 },
		"warm-up of 11 steps, want 0 to 10":                func(s *Schedule) { s.Warmup = 11 },
		"warm-up of -1 steps, want 0 to 10":                func(s *Schedule) { s.Warmup = -1 },
		"decay of 11 steps, want 0 to 10":                  func(s *Schedule) { s.Decay = 11 },
		"decay of -1 steps, want 0 to 10":                  func(s *Schedule) { s.Decay = -1 },
		"last learning rate 1.1 of the peak, want 0 to 1":  func(s *Schedule) { s.Min = 1.1 },
		"last learning rate NaN of the peak, want 0 to 1":  func(s *Schedule) { s.Min = math.NaN() },
	} {
		s := good
		spoil(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}
