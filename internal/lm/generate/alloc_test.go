package generate

import (
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
)

// TestDecodeDoesNotAllocate: once the pages and buffers are there, a token costs no allocation, drafted or not.
func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, m := range []struct{ name, path string }{{"gqa", stories(t)}, {"mla", writeTiny(t, 6, false)}} {
		t.Run(m.name, func(t *testing.T) {
			for _, c := range []struct {
				batch int
				plain bool
				cache op.CacheType
			}{{1, true, op.CacheBF16}, {3, true, op.CacheF32}, {1, false, op.CacheBF16}, {2, false, op.CacheQ8}} {
				e := load(t, m.path, 2, c.cache)
				for i := range 3 { // buffers for batches of every size, and what is known of the times
					answer(t, e, Request{Prompt: randomTokens(e, uint64(i), 20+i), Max: 200, Plain: c.plain})
				}
				e.w.Do(func(*par.Pool) { e.tree.clear() })
				var jobs []*Job
				e.w.Do(func(*par.Pool) { // the steps are ours
					for i := range c.batch {
						j := e.Submit(t.Context(), Request{Prompt: randomTokens(e, uint64(i), 20+i), Max: 100, Plain: c.plain})
						jobs = append(jobs, j)
					}
					e.w.mu.Lock()
					e.receive()
					e.w.mu.Unlock()
					for range 4 {
						e.step()
					}
					if n := testing.AllocsPerRun(2, e.step); n > 0 {
						t.Errorf("%+v: %.1f allocations a step", c, n)
					}
				})
				for _, j := range jobs {
					if _, err := j.Wait(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}
