package quant

import "math"

// The K formats leave the choice of scales to the writer. What is minimized is Σ weight·(w - stored)² with weight =
// rms + |w|: large weights matter more, since activations meet all alike. The searches below fit a line through codes
// by least squares, for several first guesses of the codes; then encoders try the neighbours of the rounded factors.

// importance returns the weights of the squared errors of x.
func importance(dst, x []float32) {
	sum := float32(0)
	for _, v := range x {
		sum += v * v
	}
	rms := float32(math.Sqrt(float64(sum) / float64(len(x))))
	for i, v := range x {
		dst[i] = rms + abs(v)
	}
}

// guesses is how far the first guesses of the codes stretch or shrink the range, in codes.
var guesses = [...]float32{0, -0.9, -0.7, -0.5, -0.3, -0.15, 0.15, 0.3, 0.5, 0.7, 0.9}

// fitLine finds scale >= 0 and least >= 0 such that x ≈ scale·q - least with codes q from 0 to most.
func fitLine(x, weight []float32, most int) (scale, least float32) {
	lo, hi := bounds(x)
	lo = min(lo, 0)
	if !(hi > lo) {
		return 0, -lo
	}
	best := float32(math.Inf(1))
	for _, guess := range guesses {
		inv := (float32(most) + guess) / (hi - lo)
		var w, q, q2, wx, qx float32
		for i, v := range x {
			c := float32(code((v-lo)*inv, 0, most))
			w += weight[i]
			q += weight[i] * c
			q2 += weight[i] * c * c
			wx += weight[i] * v
			qx += weight[i] * c * v
		}
		det := w*q2 - q*q
		if !(det > 0) {
			continue
		}
		s, m := (w*qx-q*wx)/det, (q2*wx-q*qx)/det
		if m > 0 { // a minimum above zero cannot be stored
			s, m = qx/q2, 0
		}
		if e := lineError(x, weight, s, -m, most); e < best {
			best, scale, least = e, s, -m
		}
	}
	return scale, least
}

// lineError returns the error of storing x with the codes that suit scale and least best.
func lineError(x, weight []float32, scale, least float32, most int) float32 {
	inv := inverse(scale)
	sum := float32(0)
	for i, v := range x {
		d := scale*float32(code((v+least)*inv, 0, most)) - least - v
		sum += weight[i] * d * d
	}
	return sum
}

// fitCentred finds a scale, of either sign, such that x ≈ scale·q with q from -centre to centre-1.
func fitCentred(x, weight []float32, centre int) (scale float32) {
	top := extreme(x)
	if top == 0 {
		return 0
	}
	best := float32(math.Inf(1))
	for _, guess := range guesses {
		// The extreme weight gets the code -centre, of which there is one more than on the other side.
		inv := -(float32(centre) + guess) / top
		var q2, qx float32
		for i, v := range x {
			c := float32(int(code(v*inv, float32(centre), 2*centre-1)) - centre)
			q2 += weight[i] * c * c
			qx += weight[i] * c * v
		}
		if !(q2 > 0) {
			continue
		}
		s := qx / q2
		if e := centredError(x, weight, s, centre); e < best {
			best, scale = e, s
		}
	}
	return scale
}

// centredError returns the error of storing x with the codes that suit scale best.
func centredError(x, weight []float32, scale float32, centre int) float32 {
	inv := inverse(scale)
	sum := float32(0)
	for i, v := range x {
		d := scale*float32(int(code(v*inv, float32(centre), 2*centre-1))-centre) - v
		sum += weight[i] * d * d
	}
	return sum
}

// lines are the scales and minima of a superblock of eight blocks as six-bit multiples of d and dmin.
type lines struct {
	s, n [8]uint8
}

// chooseLines stores d and dmin in dst and picks the factors for x, codes from 0 to most.
func chooseLines(dst []byte, x []float32, most int) (f lines, d, dmin float32) {
	var weight [superblock]float32
	var scale, least [8]float32
	topScale, topLeast := float32(0), float32(0)
	for j := range 8 {
		b, w := x[32*j:][:32], weight[32*j:][:32]
		importance(w, b)
		scale[j], least[j] = fitLine(b, w, most)
		topScale, topLeast = max(topScale, scale[j]), max(topLeast, least[j])
	}
	d, dmin = putHalf(dst, topScale/63), putHalf(dst[2:], topLeast/63)
	for j := range 8 {
		s, n := int(code(scale[j]*inverse(d), 0, 63)), int(code(least[j]*inverse(dmin), 0, 63))
		best := float32(math.Inf(1))
		for a := max(s-1, 0); a <= min(s+1, 63); a++ {
			for b := max(n-1, 0); b <= min(n+1, 63); b++ {
				e := lineError(x[32*j:][:32], weight[32*j:][:32], d*float32(a), dmin*float32(b), most)
				if e < best {
					best, f.s[j], f.n[j] = e, uint8(a), uint8(b)
				}
			}
		}
	}
	return f, d, dmin
}
