package kernel

// Sums are float32, in an order that each implementation chooses by length alone; against exact arithmetic they are
// within n·2⁻²⁴·Σ|terms|.

// stretch bounds one call into assembly, which Go cannot interrupt, to some 20 µs where vectors may be whole tensors.
const stretch = 1 << 16

// Dot returns Σ x[i]·y[i].
func Dot(x, y []float32) float32 {
	same(len(x), len(y), "Dot")
	var sum float32
	for len(x) > stretch {
		sum += dot(x[:stretch], y[:stretch])
		x, y = x[stretch:], y[stretch:]
	}
	return sum + dot(x, y)
}

// Axpy adds a·x to y.
func Axpy(a float32, x, y []float32) {
	same(len(x), len(y), "Axpy")
	for len(x) > stretch {
		axpy(a, x[:stretch], y[:stretch])
		x, y = x[stretch:], y[stretch:]
	}
	axpy(a, x, y)
}

// Add adds x to dst.
func Add(dst, x []float32) {
	same(len(dst), len(x), "Add")
	for len(x) > stretch {
		add(dst[:stretch], x[:stretch])
		dst, x = dst[stretch:], x[stretch:]
	}
	add(dst, x)
}

// Mul multiplies dst by x, element by element.
func Mul(dst, x []float32) {
	same(len(dst), len(x), "Mul")
	mul(dst, x)
}

// Scale multiplies x by a.
func Scale(a float32, x []float32) {
	for len(x) > stretch {
		scale(a, x[:stretch])
		x = x[stretch:]
	}
	scale(a, x)
}

// SumSquares returns Σ x[i]².
func SumSquares(x []float32) float32 { return Dot(x, x) }

// Max returns the largest x[i]; x must not be empty. A NaN among x may be overlooked.
func Max(x []float32) float32 {
	need(len(x), 1, "Max: x")
	return maximum(x)
}

func same(a, b int, what string) {
	if a != b {
		panic("kernel: " + what + ": slices differ in length")
	}
}

func dotGeneric(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyGeneric(a float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += a * v
	}
}

func addGeneric(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += v
	}
}

func mulGeneric(dst, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] *= v
	}
}

func scaleGeneric(a float32, x []float32) {
	for i := range x {
		x[i] *= a
	}
}

func maxGeneric(x []float32) float32 {
	m := x[0]
	for _, v := range x[1:] {
		m = max(m, v)
	}
	return m
}
