package kernel

// C[m,n] = (acc ? C : 0) + A[m,k]·B for A and C row-major and B in the panels of pack.go.
//
// Each element of C is one chain of additions over k in ascending order, begun at C if acc, at 0 otherwise. So the
// result of a row is the same bits whatever m is, and whether k is done in one call or in several with acc.
// Against exact arithmetic an element is within (k+1)·2⁻²⁴·Σ|terms| of the sum of its terms; bf16 products are exact in
// float32, and of GemmBF16 on AMD (VDPBF16PS) subnormal inputs and results count as 0, pairs are added last k first.
//
// Nothing is written beyond column n. One thread: a caller splits m, or n at multiples of 16.

// GemmF32 takes a [m, k] with row stride lda and b [ceil(n/16)][k][16].
func GemmF32(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool) {
	need(len(c), matrix(m, n, ldc, "GemmF32: C"), "GemmF32: c")
	need(len(a), matrix(m, k, lda, "GemmF32: A"), "GemmF32: a")
	need(len(b), PanelsF32(n, k), "GemmF32: b")
	if gemmTrivial(c, ldc, m, k, n, acc) {
		return
	}
	gemmF32(c, ldc, a, lda, b, m, k, n, acc)
}

// GemmBF16 takes a [m, k] in bf16 with even row stride lda, each row of odd k followed by one zero, and b
// [ceil(n/16)][ceil(k/2)][16][2]. To continue in k with acc, split at an even k.
func GemmBF16(c []float32, ldc int, a []uint16, lda int, b []uint16, m, k, n int, acc bool) {
	need(len(c), matrix(m, n, ldc, "GemmBF16: C"), "GemmBF16: c")
	need(len(a), matrix(m, k+k%2, lda, "GemmBF16: A"), "GemmBF16: a")
	need(len(b), PanelsBF16(n, k), "GemmBF16: b")
	if lda%2 != 0 && m > 1 {
		panic("kernel: GemmBF16: odd row stride of A")
	}
	if gemmTrivial(c, ldc, m, k, n, acc) {
		return
	}
	gemmBF16(c, ldc, a, lda, b, m, k, n, acc)
}

// GemmF32B16 takes a [m, k] with row stride lda and b [ceil(n/16)][k][16] in bf16, which is widened to float32: a cache
// of half the size under float32 queries.
func GemmF32B16(c []float32, ldc int, a []float32, lda int, b []uint16, m, k, n int, acc bool) {
	need(len(c), matrix(m, n, ldc, "GemmF32B16: C"), "GemmF32B16: c")
	need(len(a), matrix(m, k, lda, "GemmF32B16: A"), "GemmF32B16: a")
	need(len(b), PanelsF32(n, k), "GemmF32B16: b")
	if gemmTrivial(c, ldc, m, k, n, acc) {
		return
	}
	gemmF32B16(c, ldc, a, lda, b, m, k, n, acc)
}

// gemmTrivial does the products that have nothing to add up, and says whether it was one.
func gemmTrivial(c []float32, ldc, m, k, n int, acc bool) bool {
	if m == 0 || n == 0 {
		return true
	}
	if k == 0 && !acc {
		for i := range m {
			clear(c[i*ldc:][:n])
		}
	}
	return k == 0
}

// The generic forms work on four columns at a time, whose sums fit in registers.

func gemmF32Generic(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool) {
	for j := 0; j < n; j += 4 {
		panel := b[j/Panel*k*Panel:][:k*Panel]
		for i := range m {
			ci := c[i*ldc+j:][:min(4, n-j)]
			s := start(ci, acc)
			s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
			for l, x := range a[i*lda:][:k] {
				p := panel[l*Panel+j%Panel:][:4]
				s0 += x * p[0]
				s1 += x * p[1]
				s2 += x * p[2]
				s3 += x * p[3]
			}
			s = [4]float32{s0, s1, s2, s3}
			copy(ci, s[:])
		}
	}
}

func gemmBF16Generic(c []float32, ldc int, a []uint16, lda int, b []uint16, m, k, n int, acc bool) {
	k += k % 2
	for j := 0; j < n; j += 4 {
		panel := b[j/Panel*k*Panel:][:k*Panel]
		for i := range m {
			ci := c[i*ldc+j:][:min(4, n-j)]
			s := start(ci, acc)
			s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
			ai := a[i*lda:][:k]
			for l := 0; l < len(ai)-1; l += 2 {
				p := panel[l*Panel+j%Panel*2:][:8]
				x, y := widen(ai[l]), widen(ai[l+1])
				s0 += x * widen(p[0])
				s1 += x * widen(p[2])
				s2 += x * widen(p[4])
				s3 += x * widen(p[6])
				s0 += y * widen(p[1])
				s1 += y * widen(p[3])
				s2 += y * widen(p[5])
				s3 += y * widen(p[7])
			}
			s = [4]float32{s0, s1, s2, s3}
			copy(ci, s[:])
		}
	}
}

func gemmF32B16Generic(c []float32, ldc int, a []float32, lda int, b []uint16, m, k, n int, acc bool) {
	for j := 0; j < n; j += 4 {
		panel := b[j/Panel*k*Panel:][:k*Panel]
		for i := range m {
			ci := c[i*ldc+j:][:min(4, n-j)]
			s := start(ci, acc)
			s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
			for l, x := range a[i*lda:][:k] {
				p := panel[l*Panel+j%Panel:][:4]
				s0 += x * widen(p[0])
				s1 += x * widen(p[1])
				s2 += x * widen(p[2])
				s3 += x * widen(p[3])
			}
			s = [4]float32{s0, s1, s2, s3}
			copy(ci, s[:])
		}
	}
}

// start returns the values from which up to four chains begin.
func start(c []float32, acc bool) (s [4]float32) {
	if acc {
		copy(s[:], c)
	}
	return s
}
