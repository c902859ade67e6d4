// Package limit measures what this machine can do at most, in a fraction of a second: how fast its workers read memory
// and how fast their dot product units multiply. Benchmarks say what share of it they reach.
//
// It uses the program's own kernels on data that stays in the cache, so the figure is that of the chosen
// implementation without memory and without barriers, and knows no models. Each figure is the best of several runs:
// other processes can only slow one down.
package limit

import (
	"time"

	"retort/internal/compute/kernel"
	"retort/internal/compute/par"
)

const (
	runs   = 6
	window = 25 * time.Millisecond // of a run
)

// ReadBandwidth returns how many bytes a second the workers of pool read together from memory.
func ReadBandwidth(pool *par.Pool) (float64, error) {
	const size = 256 << 20 // far beyond any cache that one program has to itself
	mem, free, err := reserve(size)
	if err != nil {
		return 0, err
	}
	defer free()
	j := &reader{mem: mem, parts: 8 * pool.Threads()}
	pool.Run(writer{mem}, pages(mem)) // the pages come into being
	return best(func() float64 {
		start := time.Now()
		pool.Run(j, j.parts)
		return 4 * float64(len(mem)) / time.Since(start).Seconds()
	}), nil
}

type reader struct {
	mem   []float32
	parts int
}

func (j *reader) Part(i, _ int) {
	n := len(j.mem) / j.parts
	kernel.SumSquares(j.mem[i*n : (i+1)*n])
}

// writer touches one float of each page.
type writer struct{ mem []float32 }

const page = 1024 // floats

func pages(mem []float32) int { return len(mem) / page }

func (j writer) Part(i, _ int) { j.mem[i*page] = 1 }

// The shape of the products: both factors fit the second-level cache of any CPU with vector units, and rows are enough
// to fill the tiles of all of them.
const rows, columns, depth = 128, 64, 1024

// Int8 returns how many additions and multiplications a second the workers of pool do on int8 activations and 8-bit
// weights.
func Int8(pool *par.Pool) float64 {
	x := &kernel.Int8{Rows: rows, Cols: depth, Data: make([]byte, kernel.Int8Size(rows, depth))}
	w := make([]byte, columns/kernel.Panel*kernel.PanelQ8_0.Bytes(depth))
	return rate(pool, func(y []float32) { kernel.MatMulInt8(kernel.PanelQ8_0, y, columns, x, 0, rows, w, columns) })
}

// BF16 is Int8 for bf16 numbers with sums in float32.
func BF16(pool *par.Pool) float64 {
	x, w := make([]uint16, rows*depth), make([]uint16, kernel.PanelsBF16(columns, depth))
	return rate(pool, func(y []float32) { kernel.GemmBF16(y, columns, x, depth, w, rows, depth, columns, false) })
}

// Float32 is Int8 for float32 numbers.
func Float32(pool *par.Pool) float64 {
	x, w := make([]float32, rows*depth), make([]float32, kernel.PanelsF32(columns, depth))
	return rate(pool, func(y []float32) { kernel.GemmF32(y, columns, x, depth, w, rows, depth, columns, false) })
}

// rate returns the operations a second of all workers that do product, each into its own y.
func rate(pool *par.Pool, product func(y []float32)) float64 {
	j := &loop{product: product, y: make([][]float32, pool.Threads()), count: make([]int, pool.Threads())}
	for i := range j.y {
		j.y[i] = make([]float32, rows*columns)
	}
	return best(func() float64 {
		clear(j.count)
		start := time.Now()
		j.end = start.Add(window)
		pool.Run(j, pool.Threads())
		seconds := time.Since(start).Seconds()
		total := 0
		for _, n := range j.count {
			total += n
		}
		return float64(total) * 2 * rows * columns * depth / seconds
	})
}

type loop struct {
	product func(y []float32)
	y       [][]float32
	count   []int // products by part
	end     time.Time
}

func (j *loop) Part(i, _ int) {
	n := 0
	for time.Now().Before(j.end) {
		j.product(j.y[i])
		n++
	}
	j.count[i] = n
}

func best(run func() float64) float64 {
	most := run()
	for range runs {
		most = max(most, run())
	}
	return most
}
