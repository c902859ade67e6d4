package kernel

import (
	"encoding/binary"
	"math"
)

//go:generate sh -c "cd _asm && go run ./int8 -out .."

// Int8 holds activations as the integer kernels read them: Rows rows of Cols numbers, each row cut into blocks
// of 32 numbers with one float32 scale.
//
// A block is one cache line of 64 bytes, little endian:
//
//	offset  0        32      36      40      44      48     52     56       64
//	        q[32]    d       c       c0      c1      s      s0     s1
//	        int8     f32     int32   int32   int32   f32    f32    f32
//
//	x[k] ≈ d·q[k],  d = max|x| / 127,  q[k] = round to even (x[k]·127/max|x|)
//	c0 = -128·(q[0] + … + q[15]),  c1 = -128·(q[16] + … + q[31]),  c = c0 + c1
//	s = -d·c/128, s0 = -d·c0/128, s1 = -d·c1/128: the sums of the rounded x themselves
//
// The sums are there because the dot product units multiply unsigned by signed bytes: weights w+128 start
// their sum at c (w scaled to that range where they have fewer bits), weights with a minimum add s times it.
//
// Rows are an odd number of lines apart, so that a block of 16 rows never falls into one set of the cache. A row's
// form depends on that row alone. A block with a number that is not finite has q = 0 and d = NaN or Inf: its
// products are NaN. A short last block is filled up with zeros.
type Int8 struct {
	Rows, Cols int
	Data       []byte
}

const (
	int8Block = 32 // numbers a block
	int8Line  = 64 // bytes a block
	// Blocks whose largest number is below this are zero: 127/max would overflow. No product can see them.
	int8Tiny = 0x1p-100
)

// Int8Stride returns how many bytes lie from one row to the next.
func Int8Stride(cols int) int {
	return int8Line * ((cols+int8Block-1)/int8Block | 1)
}

// Int8Size returns how many bytes Data holds for rows rows of cols numbers.
func Int8Size(rows, cols int) int { return rows * Int8Stride(cols) }

// Quantize sets rows lo to hi-1 from src, row-major [Rows, Cols] without gaps.
func (x *Int8) Quantize(src []float32, lo, hi int) {
	if lo < 0 || hi > x.Rows || len(src) < hi*x.Cols || len(x.Data) < hi*Int8Stride(x.Cols) {
		panic("kernel: Int8.Quantize: rows outside of the data")
	}
	stride := Int8Stride(x.Cols)
	full := x.Cols / int8Block
	for t := lo; t < hi; t++ {
		row := src[t*x.Cols : (t+1)*x.Cols]
		dst := x.Data[t*stride : (t+1)*stride]
		if full > 0 {
			quantizeInt8(dst, row[:full*int8Block])
		}
		if rest := row[full*int8Block:]; len(rest) > 0 {
			var last [int8Block]float32
			copy(last[:], rest)
			quantizeInt8(dst[full*int8Line:], last[:])
		}
	}
}

// quantizeInt8Generic defines the form: src is whole blocks, dst a line for each.
func quantizeInt8Generic(dst []byte, src []float32) {
	for len(src) > 0 {
		quantizeInt8Block(dst[:int8Line], src[:int8Block])
		dst, src = dst[int8Line:], src[int8Block:]
	}
}

func quantizeInt8Block(dst []byte, src []float32) {
	// The largest absolute value by its bits: NaN is above Inf is above all numbers.
	var top uint32
	for _, v := range src {
		top = max(top, math.Float32bits(v)&0x7fffffff)
	}
	amax := math.Float32frombits(top)
	d, inv := float32(0), float32(0)
	switch {
	case top >= 0x7f800000:
		d = amax
	case amax >= int8Tiny:
		d, inv = amax/127, 127/amax
	}
	var sum [2]int32
	for i, v := range src {
		q := int32(0)
		if inv != 0 {
			q = int32(math.RoundToEven(float64(v * inv)))
		}
		dst[i] = byte(int8(q))
		sum[i/16] += q
	}
	put := binary.LittleEndian.PutUint32
	put(dst[32:], math.Float32bits(d))
	put(dst[36:], uint32(-128*(sum[0]+sum[1])))
	put(dst[40:], uint32(-128*sum[0]))
	put(dst[44:], uint32(-128*sum[1]))
	put(dst[48:], math.Float32bits(d*float32(sum[0]+sum[1])))
	put(dst[52:], math.Float32bits(d*float32(sum[0])))
	put(dst[56:], math.Float32bits(d*float32(sum[1])))
	put(dst[60:], 0)
}
