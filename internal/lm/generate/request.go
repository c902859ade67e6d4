package generate

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Mask bounds what may come next: a grammar's matcher.
type Mask interface {
	Mask(dst []uint64) error // sets the allowed ids, the end tokens where the text may end
	Accept(id int) error     // the token was chosen
}

// A Foreseer is a Mask that can tell what will probably come next, such as text that a grammar forces. What it tells is
// computed together with the token before it and taken only where the model chooses it: it changes no answer.
type Foreseer interface {
	Foresee(dst []int32, most int) []int32 // appends ids, of which the first most count
}

// Request is one prompt to be answered. Its functions and those of its Mask are called on the goroutine that computes, one at a
// time, and must return at once: everybody waits for them. They may call Submit and Stats, but nothing that waits for a step.
// One that panics ends its request with a *PanicError.
type Request struct {
	Prompt  []int32
	Max     int // tokens at most; 0 or less is no bound but the context
	Sampler SamplerOptions
	Stop    func(id int32) bool // ends the answer; the token is not part of it
	Mask    Mask                // or nil
	// Token, if not nil, is told each token as it comes and ends the answer by returning false.
	Token func(id int32) bool
	// Logits, if not nil, is told before Token of each token's logits, [V], as the model gave them: valid during the call.
	Logits func(id int32, logits []float32)
	// Progress, if not nil, is told how many tokens of the prompt are computed: fewer than before where the request made way.
	Progress func(done, total int)
	// Key names whom the request is for: keys take turns where there is more to do than can be done at once.
	Key string
	// Plain computes one token a step: nothing is drafted.
	Plain bool
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
	Tokens []int32 // without the stop token
	Finish Finish
	Reused int // prompt tokens that were not computed for this request
	// Decoded is how many tokens were chosen behind the first, a stop token like any other: the prompt gives the first.
	Decoded int
	Steps   int // passes of the model that Decoded took
	Drafted int // tokens that were computed before they were chosen
	Taken   int // of Drafted, those that were then chosen
	// Queued is the time before the prompt was begun, Prefill that until the first token, Decode that from then on.
	Queued, Prefill, Decode time.Duration
	Preempted               int // times that the request made way for others and came back
}

// ContextError says that a timeline would grow beyond its limit.
type ContextError struct{ Tokens, Limit int }

func (e *ContextError) Error() string {
	return fmt.Sprintf("generate: %d tokens do not fit a context of %d", e.Tokens, e.Limit)
}

// PanicError is the error of a request of which a function panicked: that is not the end of the others.
type PanicError struct {
	Value any
	Stack []byte // where
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("generate: a function of the request panicked: %v", e.Value)
}

// guard, deferred, makes a PanicError of a panic.
func guard(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{v, debug.Stack()}
	}
}

// Job is a request that was submitted.
type Job struct {
	ctx       context.Context
	req       Request
	submitted time.Time
	stop      func() bool // of what watches ctx
	done      chan struct{}
	res       Result
	err       error
}

// end hands the answer over.
func (j *Job) end() {
	if j.stop != nil {
		j.stop()
	}
	close(j.done)
}

// Done is closed when the job has ended.
func (j *Job) Done() <-chan struct{} { return j.done }

// Wait returns the answer when there is one. When the job's context ends first, the answer is what came until then and
// the error is the context's.
func (j *Job) Wait() (Result, error) {
	<-j.done
	return j.res, j.err
}
