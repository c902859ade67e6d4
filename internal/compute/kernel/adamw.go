package kernel

import "math"

// AdamW makes one step of Adam with decoupled weight decay on the parameters p with moments m and v and gradient g:
//
//	g' = g·scale                       scale clips the gradient
//	m  = b1·m + (1-b1)·g'
//	v  = b2·v + (1-b2)·g'²
//	p  = p - lr·(m/c1 / (sqrt(v/c2) + eps) + wd·p)
//
// c1 = 1-b1ᵗ and c2 = 1-b2ᵗ correct the bias at step t. Source: Loshchilov and Hutter 2017, Decoupled Weight Decay
// Regularization, algorithm 2.
func AdamW(p, m, v, g []float32, lr, b1, b2, eps, wd, c1, c2, scale float32) {
	same(len(m), len(p), "AdamW")
	same(len(v), len(p), "AdamW")
	same(len(g), len(p), "AdamW")
	c := [10]float32{scale, b1, 1 - b1, b2, 1 - b2, 1 / c1, 1 / c2, eps, lr, 1 - lr*wd}
	for len(p) > stretch {
		adamW(p[:stretch], m[:stretch], v[:stretch], g[:stretch], &c)
		p, m, v, g = p[stretch:], m[stretch:], v[stretch:], g[stretch:]
	}
	adamW(p, m, v, g, &c)
}

// adamWGeneric takes the constants as the assembly wants them: scale, b1, 1-b1, b2, 1-b2, 1/c1, 1/c2, eps, lr, 1-lr·wd.
func adamWGeneric(p, m, v, g []float32, c *[10]float32) {
	m, v, g = m[:len(p)], v[:len(p)], g[:len(p)]
	for i := range p {
		gi := g[i] * c[0]
		mi := c[1]*m[i] + c[2]*gi
		vi := c[3]*v[i] + c[4]*gi*gi
		m[i], v[i] = mi, vi
		step := mi * c[5] / (float32(math.Sqrt(float64(vi*c[6]))) + c[7])
		p[i] = p[i]*c[9] - c[8]*step
	}
}
