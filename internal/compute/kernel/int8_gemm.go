package kernel

import (
	"encoding/binary"
	"math"
)

// MatMulInt8 sets y[t, 0:n] = x[t,:]·Wᵀ for the rows t0 to t1-1 of x, where w holds ceil(n/16) panels of format f, one
// after another, and y[t, j] is y[(t-t0)*ldy+j]. Nothing else of y is written, so that n need not be whole panels.
//
// Integer sums are exact; each block of 32 columns then adds d_x·Σ(q_x·code)·d_w (and s_x·m_w) to a float32 sum, in
// ascending order whatever t1-t0 is: a row's result is the same alone and in a batch. Against exact arithmetic over the
// quantized numbers the error is at most 3·blocks·2⁻²⁴·Σ|terms|.
func MatMulInt8(f PanelFormat, y []float32, ldy int, x *Int8, t0, t1 int, w []byte, n int) {
	if t0 < 0 || t1 > x.Rows || t0 > t1 || n < 0 || n > ldy {
		panic("kernel: MatMulInt8: rows or columns out of range")
	}
	if t0 == t1 || n == 0 {
		return
	}
	panels := (n + Panel - 1) / Panel
	need(len(w), panels*f.Bytes(x.Cols), "MatMulInt8: w")
	need(len(y), (t1-t0-1)*ldy+n, "MatMulInt8: y")
	stride := Int8Stride(x.Cols)
	need(len(x.Data), t1*stride, "MatMulInt8: x")
	matMulInt8(f, y, ldy, x.Data[t0*stride:t1*stride], stride, x.Cols, w, n)
}

// matMulInt8Generic defines the result: a is the rows of x alone.
func matMulInt8Generic(f PanelFormat, y []float32, ldy int, a []byte, stride, cols int, w []byte, n int) {
	l := &panelLayouts[f]
	size := f.Bytes(cols)
	var b genericBlock
	for j := 0; j < n; j += Panel {
		panel := w[j/Panel*size:][:size]
		for t := 0; t < len(a); t += 16 * stride {
			tile := a[t:min(len(a), t+16*stride)]
			var acc [16][Panel]float32
			for i := range cols / int8Block {
				b.load(f, l, panel, i)
				for k := 0; k*stride < len(tile); k++ {
					b.add(l, &acc[k], tile[k*stride+i*int8Line:][:int8Line])
				}
			}
			end := float32(1) / float32(int(1)<<l.shift)
			for k := 0; k*stride < len(tile); k++ {
				row := y[(t/stride+k)*ldy+j:][:min(Panel, n-j)]
				for r := range row {
					row[r] = acc[k][r] * end
				}
			}
		}
	}
}

// genericBlock is a block of a panel and the scales of its rows.
type genericBlock struct {
	PanelBlock
	scale, plus [Panel][2]float32
}

func (b *genericBlock) load(f PanelFormat, l *panelLayout, panel []byte, i int) {
	f.Unpack(&b.PanelBlock, panel, i)
	for r := range Panel {
		b.scale[r], b.plus[r] = l.scales(&b.PanelBlock, r)
	}
}

// add adds the products of one block of a row of x, a line of Int8, with the 16 rows of b.
func (b *genericBlock) add(l *panelLayout, acc *[Panel]float32, line []byte) {
	field := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(line[at:])) }
	whole := func(at int) int32 { return int32(binary.LittleEndian.Uint32(line[at:])) }
	var q [32]int32
	for k := range q {
		q[k] = int32(int8(line[k]))
	}
	d := field(32)
	var c [2]int32
	if !l.min {
		c = [2]int32{whole(40), whole(44)}
	}
	for r := range Panel {
		w := &b.Q[r]
		d0 := dot16((*[16]int32)(q[:16]), (*[4]uint32)(w[:4]))<<l.shift + c[0]
		d1 := dot16((*[16]int32)(q[16:]), (*[4]uint32)(w[4:]))<<l.shift + c[1]
		scale, plus := &b.scale[r], &b.plus[r]
		switch {
		case l.halves && l.min:
			acc[r] += (float32(d0)*scale[0] + float32(d1)*scale[1]) * d
			acc[r] += field(52)*plus[0] + field(56)*plus[1]
		case l.halves:
			acc[r] += (float32(d0)*scale[0] + float32(d1)*scale[1]) * d
		case l.min:
			acc[r] += float32(d0+d1) * d * scale[0]
			acc[r] += field(48) * plus[0]
		default:
			acc[r] += float32(d0+d1) * d * scale[0]
		}
	}
}

// dot16 is the dot product of 16 numbers with 16 codes, four a word.
func dot16(q *[16]int32, w *[4]uint32) int32 {
	a, b, c, d := w[0], w[1], w[2], w[3]
	s := q[0]*int32(a&255) + q[1]*int32(a>>8&255) + q[2]*int32(a>>16&255) + q[3]*int32(a>>24)
	t := q[4]*int32(b&255) + q[5]*int32(b>>8&255) + q[6]*int32(b>>16&255) + q[7]*int32(b>>24)
	s += q[8]*int32(c&255) + q[9]*int32(c>>8&255) + q[10]*int32(c>>16&255) + q[11]*int32(c>>24)
	t += q[12]*int32(d&255) + q[13]*int32(d>>8&255) + q[14]*int32(d>>16&255) + q[15]*int32(d>>24)
	return s + t
}
