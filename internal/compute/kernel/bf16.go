package kernel

import "math"

// bf16 is the upper half of a float32: 1 sign bit, 8 of exponent, 7 of mantissa.
//
//	float32  seee eeee emmm mmmm mmmm mmmm mmmm mmmm
//	bf16     seee eeee emmm mmmm

// ToBF16 rounds src to bf16, to nearest with ties to even. NaN stays NaN (made quiet), subnormals are kept.
func ToBF16(dst []uint16, src []float32) {
	need(len(dst), len(src), "ToBF16: dst")
	for len(src) > stretch {
		toBF16(dst[:stretch], src[:stretch])
		dst, src = dst[stretch:], src[stretch:]
	}
	toBF16(dst[:len(src)], src)
}

// FromBF16 widens src to float32, which is exact.
func FromBF16(dst []float32, src []uint16) {
	need(len(dst), len(src), "FromBF16: dst")
	for len(src) > stretch {
		fromBF16(dst[:stretch], src[:stretch])
		dst, src = dst[stretch:], src[stretch:]
	}
	fromBF16(dst[:len(src)], src)
}

// ToF16 rounds src to IEEE binary16, to nearest with ties to even; beyond 65504 it becomes infinite. NaN stays NaN.
func ToF16(dst []uint16, src []float32) {
	need(len(dst), len(src), "ToF16: dst")
	toF16(dst[:len(src)], src)
}

// FromF16 widens IEEE binary16 to float32, which is exact.
func FromF16(dst []float32, src []uint16) {
	need(len(dst), len(src), "FromF16: dst")
	fromF16(dst[:len(src)], src)
}

func toBF16Generic(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = bf16(x)
	}
}

func fromBF16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = widen(h)
	}
}

func toF16Generic(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = f16(x)
	}
}

func fromF16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = widenF16(h)
	}
}

func bf16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16 | 0x40) // rounding could carry a NaN into infinity
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

func f16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN: quiet, the mantissa's upper bits kept
		return sign | 0x7e00 | uint16(b>>13&0x1ff)
	case b >= 0x477ff000: // 65520, half way to the power of two behind 65504, rounds to infinity
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: adding 1/2 leaves the mantissa counted in units of 2^-24, rounded to even
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	return sign | uint16((b-0x38000000+0xfff+b>>13&1)>>13)
}

func widenF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	m := uint32(h & 0x7fff)
	switch {
	case m >= 0x7c00: // infinity or NaN; a signalling NaN becomes quiet
		if m > 0x7c00 {
			m |= 0x200
		}
		return math.Float32frombits(sign | 0x7f800000 | m&0x3ff<<13)
	case m < 0x400: // subnormal: a count of 2^-24
		return math.Float32frombits(math.Float32bits(float32(m)*0x1p-24) | sign)
	}
	return math.Float32frombits(sign | (m<<13 + 0x38000000))
}
