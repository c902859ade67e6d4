package generate

import (
	"retort/internal/compute/tensor"
)

// answer chooses tokens of t from the logits z of its rows: one, and as long as that is what was drafted, the next.
func (e *Engine) answer(t *timeline, z *tensor.Tensor) {
	r := &t.job.res
	if t.chosen {
		r.Steps++
	}
	if t.failed != nil {
		e.leave(t, t.failed)
		return
	}
	taken := 0
	for i := 0; ; i++ {
		if err := e.choose(t, z.Row(t.logits+i)); err != nil {
			e.leave(t, err)
			return
		}
		if t.finish != "" || i == t.drafted || t.tokens[len(t.tokens)-1] != t.drafts.ids[i] {
			break
		}
		t.cache.Len++ // the draft's row is the chosen token's
		taken++
	}
	if t.drafted > 0 {
		r.Drafted, r.Taken = r.Drafted+t.drafted, r.Taken+taken
		e.stats.Drafted, e.stats.Taken = e.stats.Drafted+int64(t.drafted), e.stats.Taken+int64(taken)
		e.speed.learn(&t.drafts, t.drafted, taken)
	}
	if t.finish != "" {
		e.leave(t, nil)
		return
	}
	e.share(t)
	if len(t.cache.Pages()) > pagesOf(t.cache.Len) { // a draft reached into a page that is not needed yet
		t.cache.Truncate(t.cache.Len)
	}
}

// choose samples the next token from the logits, and sets finish where the answer ends.
func (e *Engine) choose(t *timeline, logits []float32) (err error) {
	defer guard(&err)
	req, r := &t.job.req, &t.job.res
	var allowed []uint64
	if req.Mask != nil {
		allowed = e.allowed
		clear(allowed)
		if err := req.Mask.Mask(allowed); err != nil {
			return err
		}
	}
	if req.Logits != nil {
		e.plain = append(e.plain[:0], logits...)
	}
	id, err := t.sampler.Sample(logits, allowed, t.tokens)
	if err != nil {
		return err
	}
	if t.chosen {
		r.Decoded++
		e.stats.Decoded++
	} else {
		t.chosen, t.first = true, e.clock()
		r.Prefill = t.first.Sub(t.begun)
		e.stats.PromptTokens += int64(len(req.Prompt))
		e.stats.ReusedTokens += int64(r.Reused)
	}
	if req.Stop != nil && req.Stop(id) {
		t.finish = FinishStop
		return nil
	}
	if req.Mask != nil {
		if err := req.Mask.Accept(int(id)); err != nil {
			return err
		}
	}
	t.tokens = append(t.tokens, id)
	if req.Logits != nil {
		req.Logits(id, e.plain)
	}
	switch {
	case req.Token != nil && !req.Token(id):
		t.finish = FinishStop
	case len(t.tokens)-len(req.Prompt) == req.Max, len(t.tokens)-1 >= e.limit:
		t.finish = FinishLength
	}
	return nil
}
