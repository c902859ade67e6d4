package limit

import (
	"testing"

	"retort/internal/compute/par"
)

// The figures cannot be foreseen, but no machine on which the tests are worth running reads less than 100 MB/s or
// multiplies less than 10 million times a second, and none does a thousand times what is known today.
func TestLimits(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	read, err := ReadBandwidth(pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name           string
		got, low, high float64
	}{
		{"read bandwidth", read, 1e8, 1e13}, {"int8", Int8(pool), 1e7, 1e16}, {"bf16", BF16(pool), 1e7, 1e16}, {"float32", Float32(pool), 1e7, 1e16},
	} {
		t.Logf("%s: %.3g", m.name, m.got)
		if m.got < m.low || m.got > m.high {
			t.Errorf("%s is %g a second, want %g to %g", m.name, m.got, m.low, m.high)
		}
	}
}
