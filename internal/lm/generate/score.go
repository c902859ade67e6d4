package generate

import (
	"context"

	"retort/internal/compute/op"
)

// Score returns the logits of every row of tokens computed as one fresh sequence, handed to each in order on the goroutine
// that computes: perplexity, exams by likelihood. The slice is valid during the call. Other requests go on in between.
func (e *Engine) Score(ctx context.Context, tokens []int32, each func(row int, logits []float32)) error {
	if err := e.checkIDs(tokens); err != nil {
		return err
	}
	const (
		chunk = 512
		slice = 128 // rows whose logits exist at once
	)
	pages := e.Model.NewCachePool(e.o.Cache, int64(e.Model.CacheBytes(len(tokens), e.o.Cache)))
	cache := pages.NewCache()
	for lo := 0; lo < len(tokens); lo += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(lo+chunk, len(tokens))
		for len(cache.Pages())*op.Page < hi {
			cache.Append(pages.Take())
		}
		err := e.use(func() {
			defer e.release()
			e.reset()
			e.add(cache, lo, tokens[lo:hi], 0)
			x := e.Model.Hidden(&e.pass)
			for at := lo; at < hi; at += slice {
				e.rows = e.rows[:0]
				for row := at; row < min(at+slice, hi); row++ {
					e.rows = append(e.rows, row-lo)
				}
				mark := e.run.Mark()
				z := op.Logits(&e.pass, x, e.Model.Head, e.rows)
				for i := range e.rows {
					each(at+i, z.Row(i))
				}
				e.run.Release(mark)
			}
		})
		if err != nil {
			return err
		}
		cache.Len = hi
	}
	return nil
}
