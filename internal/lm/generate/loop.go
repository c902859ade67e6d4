package generate

import (
	"context"
	"time"
)

// Mask bounds what may come next: a grammar's matcher.
type Mask interface {
	Mask(dst []uint64) error // sets the allowed ids, the end tokens where the text may end
	Accept(id int) error     // the token was chosen
}

// Request is one prompt to be answered.
type Request struct {
	Prompt  []int32
	Max     int // tokens at most; 0 is no bound but the context
	Sampler SamplerOptions
	Stop    func(id int32) bool // ends the answer; the token is not part of it
	Mask    Mask                // or nil
	// Token, if not nil, is told each token as it comes and ends the answer by returning false.
	Token func(id int32) bool
	// Progress, if not nil, is told how far the prompt is computed.
	Progress func(done, total int)
}

// Finish says why an answer ended.
type Finish string

// The reasons, in OpenAI's words.
const (
	FinishStop   Finish = "stop"   // the model said so, or a stop condition held
	FinishLength Finish = "length" // the bound or the context was reached
)

// Result is an answer.
type Result struct {
	Tokens          []int32 // without the stop token
	Finish          Finish
	Reused          int // prompt tokens that were computed before
	Steps           int // of the model behind the prompt; the first token needs none, a stop token one like any other
	Prefill, Decode time.Duration
	// Err is set where GenerateAll could not finish this request alone.
	Err error
}

// Generate answers req on the timeline s. When ctx ends, the tokens so far and its error are returned.
func (s *Sequence) Generate(ctx context.Context, req Request) (Result, error) {
	var out Result
	err := s.e.GenerateAll(ctx, []*Sequence{s}, func() (Request, bool) {
		r := req
		req.Prompt = nil
		return r, r.Prompt != nil
	}, func(_ int, r Result) { out = r })
	if err == nil {
		err = out.Err
	}
	return out, err
}

// slot is a timeline at work on a request.
type slot struct {
	seq     *Sequence
	index   int // of the request, in the order of next
	req     Request
	sampler *Sampler
	logits  []float32
	allowed []uint64
	res     Result
	start   time.Time
	busy    bool
}

// GenerateAll answers the requests that next gives until it has no more, as many at a time as there are timelines,
// all of them stepping as one batch. done gets each answer as it is complete, with the number of its request. A
// request that fails ends alone, with Err; a cancelled ctx ends all, and done gets what there is.
func (e *Engine) GenerateAll(ctx context.Context, seqs []*Sequence, next func() (Request, bool), done func(i int, r Result)) error {
	slots := make([]*slot, len(seqs))
	for i, s := range seqs {
		slots[i] = &slot{seq: s, logits: make([]float32, e.Model.Config.Vocab), allowed: make([]uint64, (e.Model.Config.Vocab+63)/64)}
	}
	count, more := 0, true
	step := stepper{e: e}
	for {
		for _, sl := range slots {
			for !sl.busy && more && ctx.Err() == nil {
				var req Request
				if req, more = next(); more {
					sl.seq.borrow(seqs, req.Prompt)
					sl.begin(ctx, req, count)
					count++
					sl.settle(done)
				}
			}
		}
		if err := ctx.Err(); err != nil {
			for _, sl := range slots {
				if sl.busy {
					sl.res.Err = err
					sl.finish(done)
				}
			}
			return err
		}
		if step.run(slots) == 0 {
			return nil
		}
		for _, sl := range slots {
			sl.settle(done)
		}
	}
}

// begin computes the prompt and chooses the first token.
func (sl *slot) begin(ctx context.Context, req Request, index int) {
	sl.req, sl.index, sl.sampler, sl.busy, sl.res = req, index, NewSampler(req.Sampler), true, Result{}
	start := time.Now()
	sl.res.Reused, sl.res.Err = sl.seq.Sync(ctx, req.Prompt, sl.logits, req.Progress)
	sl.start = time.Now()
	sl.res.Prefill = sl.start.Sub(start)
	sl.choose()
}

// choose samples the next token from the logits and says in res whether the answer ends.
func (sl *slot) choose() {
	if sl.res.Err != nil {
		return
	}
	var allowed []uint64
	if sl.req.Mask != nil {
		clear(sl.allowed)
		if sl.res.Err = sl.req.Mask.Mask(sl.allowed); sl.res.Err != nil {
			return
		}
		allowed = sl.allowed
	}
	id, err := sl.sampler.Sample(sl.logits, allowed, sl.seq.tokens)
	switch {
	case err != nil:
		sl.res.Err = err
	case sl.req.Stop != nil && sl.req.Stop(id):
		sl.res.Finish = FinishStop
	default:
		if sl.req.Mask != nil {
			if sl.res.Err = sl.req.Mask.Accept(int(id)); sl.res.Err != nil {
				return
			}
		}
		sl.res.Tokens = append(sl.res.Tokens, id)
		if sl.req.Token != nil && !sl.req.Token(id) {
			sl.res.Finish = FinishStop
		} else if len(sl.res.Tokens) == sl.req.Max || len(sl.seq.tokens) >= sl.seq.limit {
			sl.res.Finish = FinishLength
		}
	}
}

// settle hands over an answer that is complete.
func (sl *slot) settle(done func(int, Result)) {
	if sl.busy && (sl.res.Err != nil || sl.res.Finish != "") {
		sl.finish(done)
	}
}

func (sl *slot) finish(done func(int, Result)) {
	sl.res.Decode = time.Since(sl.start)
	sl.busy = false
	done(sl.index, sl.res)
}

// stepper holds the slices of a step, used again each time.
type stepper struct {
	e      *Engine
	slots  []*slot
	seqs   []*Sequence
	tokens []int32
	logits [][]float32
}

// run extends every busy slot by the token it chose and chooses the next; it returns how many there were.
func (st *stepper) run(slots []*slot) int {
	st.slots, st.seqs, st.tokens, st.logits = st.slots[:0], st.seqs[:0], st.tokens[:0], st.logits[:0]
	for _, sl := range slots {
		if sl.busy {
			st.slots, st.seqs = append(st.slots, sl), append(st.seqs, sl.seq)
			st.tokens = append(st.tokens, sl.res.Tokens[len(sl.res.Tokens)-1])
			st.logits = append(st.logits, sl.logits)
		}
	}
	if len(st.seqs) == 0 {
		return 0
	}
	err := st.e.Step(st.seqs, st.tokens, st.logits)
	for _, sl := range st.slots {
		if err != nil {
			sl.res.Err = err
			continue
		}
		sl.res.Steps++
		sl.choose()
	}
	return len(st.slots)
}
