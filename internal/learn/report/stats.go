package report

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Quantiles of the standard normal distribution: 97.5 % for two-sided intervals of 95 %, 80 % for power.
const (
	z975 = 1.959963984540054
	z80  = 0.8416212335729143
)

// Wilson is the score interval of 95 % for k successes in n trials (Wilson 1927). Without trials it is [0, 1].
func Wilson(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	p, m := float64(k)/float64(n), float64(n)
	z2 := z975 * z975
	middle := (p + z2/(2*m)) / (1 + z2/m)
	half := z975 / (1 + z2/m) * math.Sqrt(p*(1-p)/m+z2/(4*m*m))
	return max(0, middle-half), min(1, middle+half)
}

// McNemar is the exact two-sided p of the pairs in which only one of two was right: how often chance alone, a fair coin for each
// such pair, would split b+c pairs at least as unevenly (McNemar 1947, exact binomial form).
func McNemar(b, c int) float64 {
	n := b + c
	if n == 0 || b == c {
		return 1
	}
	logN, _ := math.Lgamma(float64(n + 1))
	tail := 0.0
	for k := 0; k <= min(b, c); k++ {
		a, _ := math.Lgamma(float64(k + 1))
		d, _ := math.Lgamma(float64(n - k + 1))
		tail += math.Exp(logN - a - d - float64(n)*math.Ln2)
	}
	return min(1, 2*tail)
}

// resamples is how often the bootstrap draws.
const resamples = 10_000

// An Interval is a central range of 95 %.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Bootstrap draws the items of a paired comparison anew, with replacement, and gives percentile intervals (Efron 1979) of
// mean(a) - mean(b) and of mean(a) / mean(b). a and b hold 1 for right and 0 for wrong, item by item. Draws in which b is
// never right have no ratio and are left out there.
func Bootstrap(a, b []float64, seed uint64) (difference, ratio Interval) {
	if len(a) != len(b) {
		panic("report: Bootstrap: samples differ in length")
	}
	if len(a) == 0 {
		return Interval{}, Interval{}
	}
	r := rand.New(rand.NewPCG(seed, 0xb007))
	differences := make([]float64, 0, resamples)
	var ratios []float64
	for range resamples {
		sumA, sumB := 0.0, 0.0
		for range a {
			i := r.IntN(len(a))
			sumA += a[i]
			sumB += b[i]
		}
		differences = append(differences, (sumA-sumB)/float64(len(a)))
		if sumB > 0 {
			ratios = append(ratios, sumA/sumB)
		}
	}
	return central(differences), central(ratios)
}

func central(x []float64) Interval {
	if len(x) == 0 {
		return Interval{}
	}
	slices.Sort(x)
	return Interval{percentile(x, 0.025), percentile(x, 0.975)}
}

// percentile of sorted values, linear between neighbours as in NumPy's default.
func percentile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Detectable is the smallest difference of two paired shares that n items show with a probability of 80 % at p < 0.05, where a share
// of the pairs is discordant: the d with d·√n = z·√discordant + z'·√(discordant - d²) (Connett, Smith and McHugh 1987).
// It is at most 1.
func Detectable(n int, discordant float64) float64 {
	if n == 0 || discordant <= 0 {
		return 1
	}
	short := func(d float64) bool {
		return d*math.Sqrt(float64(n)) < z975*math.Sqrt(discordant)+z80*math.Sqrt(max(0, discordant-d*d))
	}
	low, high := 0.0, 1.0
	for range 60 {
		if middle := (low + high) / 2; short(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
