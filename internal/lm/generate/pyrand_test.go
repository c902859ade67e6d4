package generate

import "math"

// pyRandom gives the numbers of Python's random.Random(seed), so that the models which the oracle's scripts make can be
// made here: the Mersenne Twister MT19937 of Matsumoto and Nishimura 1998, seeded by init_by_array, and gauss().
type pyRandom struct {
	mt   [624]uint32
	at   int
	next float64 // the second of a pair of normals
	have bool
}

func newPyRandom(seed uint32) *pyRandom {
	r := &pyRandom{at: 624}
	m := &r.mt
	m[0] = 19650218
	for i := 1; i < 624; i++ {
		m[i] = 1812433253*(m[i-1]^m[i-1]>>30) + uint32(i)
	}
	i := 1
	for range 624 { // the key has one word
		m[i] = (m[i] ^ (m[i-1]^m[i-1]>>30)*1664525) + seed
		if i++; i == 624 {
			m[0], i = m[623], 1
		}
	}
	for range 623 {
		m[i] = (m[i] ^ (m[i-1]^m[i-1]>>30)*1566083941) - uint32(i)
		if i++; i == 624 {
			m[0], i = m[623], 1
		}
	}
	m[0] = 1 << 31
	return r
}

func (r *pyRandom) word() uint32 {
	if r.at == 624 {
		m := &r.mt
		for i := range m {
			y := m[i]&(1<<31) | m[(i+1)%624]&(1<<31-1)
			m[i] = m[(i+397)%624] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		r.at = 0
	}
	y := r.mt[r.at]
	r.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float64 is random().
func (r *pyRandom) float64() float64 {
	a, b := r.word()>>5, r.word()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}

// gauss is random.gauss(mean, std).
func (r *pyRandom) gauss(mean, std float64) float64 {
	z := r.next
	if r.have = !r.have; r.have {
		angle := r.float64() * 2 * math.Pi
		radius := math.Sqrt(-2 * math.Log(1-r.float64()))
		z = math.Cos(angle) * radius
		r.next = math.Sin(angle) * radius
	}
	return mean + z*std
}
