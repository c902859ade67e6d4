package kernel

// SwiGLU sets dst = silu(gate)·up with silu(g) = g·σ(g) = g/(1+exp(-g)). dst may be gate or up.
//
// Source: Shazeer 2020, GLU Variants Improve Transformer.
func SwiGLU(dst, gate, up []float32) {
	same(len(dst), len(gate), "SwiGLU")
	same(len(up), len(gate), "SwiGLU")
	swiGLU(dst, gate, up)
}

// SwiGLUBackward adds the gradients of SwiGLU to dGate and dUp:
//
//	dUp   += dy·silu(gate)
//	dGate += dy·up·silu'(gate),  silu'(g) = σ(g)·(1 + g·(1-σ(g)))
func SwiGLUBackward(dGate, dUp, dy, gate, up []float32) {
	same(len(dGate), len(gate), "SwiGLUBackward")
	same(len(dUp), len(gate), "SwiGLUBackward")
	same(len(dy), len(gate), "SwiGLUBackward")
	same(len(up), len(gate), "SwiGLUBackward")
	swiGLUBackward(dGate, dUp, dy, gate, up)
}

func swiGLUGeneric(dst, gate, up []float32) {
	dst, up = dst[:len(gate)], up[:len(gate)]
	for i, g := range gate {
		dst[i] = g / (1 + exp(-g)) * up[i]
	}
}

func swiGLUBackwardGeneric(dGate, dUp, dy, gate, up []float32) {
	n := len(gate)
	dGate, dUp, dy, up = dGate[:n], dUp[:n], dy[:n], up[:n]
	for i, g := range gate {
		s := 1 / (1 + exp(-g))
		silu := g * s
		dUp[i] += dy[i] * silu
		dGate[i] += dy[i] * up[i] * (s + silu*(1-s))
	}
}
