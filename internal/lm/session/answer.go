package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
)

// Finish says why an answer ended.
type Finish = generate.Finish

// The reasons, in OpenAI's words and one of ours.
const (
	FinishStop        = generate.FinishStop   // the model said so, or a stop text came
	FinishLength      = generate.FinishLength // the bound or the context was reached
	FinishToolCalls   = Finish("tool_calls")  // the model wants functions called
	FinishInterrupted = Finish("interrupted") // the context of the request ended first
)

// Kind is what an event tells.
type Kind int

const (
	Reasoning     = Kind(chat.Reasoning)     // more of what the model thinks, Text
	Content       = Kind(chat.Content)       // more of its answer, Text
	CallBegin     = Kind(chat.CallBegin)     // it calls a function: ID and Name are known
	CallArguments = Kind(chat.CallArguments) // more of the call's arguments, Text, which joined are a JSON object
	CallEnd       = Kind(chat.CallEnd)       // the call is whole
	CallBroken    = Kind(chat.CallBroken)    // the call is none: Text, all of it as the model wrote it, is content
)

const (
	Progress Kind = iota + CallBroken + 1 // Done of Total tokens of the prompt are computed
	Logprob                               // a token was chosen, Token; its text comes when it is settled
	Finished                              // the last event, Result
)

// Event is a piece of an answer as it comes.
type Event struct {
	Kind        Kind
	Text        string
	Call        int // the call's place in the answer, from 0
	ID, Name    string
	Done, Total int
	Token       Token
	Result      *Result
}

// Result is an answer.
type Result struct {
	Reasoning, Text string
	ToolCalls       []chat.ToolCall
	Tokens          []int32 // without the token that ended it
	Finish          Finish
	Full            bool   // the context ended it, and not the bound of the request
	Stop            string // the stop text that came, or ""
	Usage           Usage
	Timing          Timing
}

// Usage counts tokens.
type Usage struct {
	Prompt    int
	Cached    int // of Prompt, those that were computed for a request before
	Answer    int // a token that ended it is not counted
	Reasoning int // of Answer
}

// Timing is what an answer took.
type Timing struct {
	Queued  time.Duration // before the prompt was begun
	Prefill time.Duration // until the first token
	Decode  time.Duration // from then on
	Decoded int           // tokens that Decode gave, an end among them
	Steps   int           // passes of the model that they took
	Drafted int           // tokens that were computed before they were chosen
	Taken   int           // of Drafted, those that were then chosen
}

// CutError says that an answer ended before it was what the schema wants.
type CutError struct {
	Tokens   int  // of the answer
	Full     bool // the context was, and not the bound of the request
	Thinking bool // it had not ended its thinking
}

func (e *CutError) Error() string {
	return fmt.Sprintf("session: the answer was cut at %d tokens, before it was what the schema wants", e.Tokens)
}

// Answer is a request at work. Its methods are safe for concurrent use.
type Answer struct {
	prompt []int32
	queue  *queue
	done   chan struct{}
	res    Result
	err    error
}

// Start begins to answer r and returns at once. What cannot be answered is refused here. When ctx ends, so does the
// answer, within a step.
func (m *Model) Start(ctx context.Context, r Request) (*Answer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p, err := m.prompt(&r)
	if err != nil {
		return nil, err
	}
	if len(p.ids) > m.Limit() {
		return nil, &generate.ContextError{Tokens: len(p.ids), Limit: m.Limit()}
	}
	a := &Answer{prompt: p.ids, queue: newQueue(), done: make(chan struct{})}
	w := m.newWriter(&r, p, a.queue)
	req := generate.Request{Prompt: p.ids, Max: r.Max, Sampler: r.Sampler, Key: r.Key, Plain: r.Plain, Token: w.token,
		Progress: func(done, total int) { a.queue.push(Event{Kind: Progress, Done: done, Total: total}) }}
	if !r.IgnoreEnd {
		req.Stop = func(id int32) bool { return m.Tokenizer.IsEOG(int(id)) }
	}
	if w.bound != nil {
		req.Mask = w.bound
	}
	if r.Logprobs > 0 {
		req.Logits = func(id int32, logits []float32) {
			a.queue.push(Event{Kind: Logprob, Token: m.judge(id, logits, r.Logprobs)})
		}
	}
	job := m.engine.Submit(ctx, req)
	go func() {
		res, err := job.Wait()
		a.res, a.err = w.finish(res, err)
		a.queue.push(Event{Kind: Finished, Result: &a.res})
		a.queue.close()
		close(a.done)
	}()
	return a, nil
}

// Ask is Start and Wait.
func (m *Model) Ask(ctx context.Context, r Request) (Result, error) {
	a, err := m.Start(ctx, r)
	if err != nil {
		return Result{}, err
	}
	return a.Wait()
}

// Prompt is the tokens that the model reads. They may not be changed.
func (a *Answer) Prompt() []int32 { return a.prompt }

// Events are the answer's events as they come, each once, up to Finished. Whoever stops reading them leaves the answer at
// work: what ends it is its context.
func (a *Answer) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, ok := a.queue.next()
			if !ok || !yield(e) {
				return
			}
		}
	}
}

// Wait returns the answer when it is complete. With an error it is what came until then: one that the context of the
// request ended early comes with that error, one that a schema binds and that was cut with a CutError.
func (a *Answer) Wait() (Result, error) {
	<-a.done
	return a.res, a.err
}

// newWriter makes what turns the tokens of an answer to p into events.
func (m *Model) newWriter(r *Request, p prompt, q *queue) *writer {
	w := &writer{form: m.Form, queue: q, max: r.Max}
	w.res.Usage.Prompt = len(p.ids)
	if len(r.Stop) > 0 {
		w.stop = newStopper(r.Stop)
	}
	if p.chat != nil {
		w.split = chat.NewSplitter(*p.chat)
	}
	if r.Schema != nil {
		w.bound = m.bind(r.Schema, p.chat != nil && p.chat.Thinking, p.chat != nil && r.Chat.Thinking != chat.ThinkOff && m.thinks())
	}
	return w
}

// writer turns tokens into events and adds up the answer. It belongs to the goroutine that computes until the answer is
// complete, then to finish.
type writer struct {
	form  *Form
	queue *queue
	max   int
	stop  *stopper         // nil without stop texts
	split *chat.Splitter   // nil where all of it is content
	plain tokenizer.Stream // then
	bound *bound           // nil without a schema

	buf                []byte
	reasoning, content strings.Builder
	res                Result
}

// token takes the next one and says whether more are wanted.
func (w *writer) token(id int32) bool {
	if w.split != nil && w.split.Thinking() {
		w.res.Usage.Reasoning++
	}
	if w.split != nil {
		w.buf = w.split.AppendToken(w.buf[:0], int(id))
	} else {
		w.buf = w.form.Tokenizer.AppendToken(w.buf[:0], int(id))
	}
	text := w.buf
	if w.stop != nil {
		hidden := len(text) == 0
		if hidden {
			text = append(text, w.form.Tokenizer.Token(int(id))...)
		}
		text = w.stop.write(text, hidden)
	}
	w.write(text)
	return (w.stop == nil || w.stop.hit == "") && (w.bound == nil || !w.bound.done())
}

// write takes bytes of the answer.
func (w *writer) write(text []byte) {
	if w.split == nil {
		w.tell(chat.Event{Kind: chat.Content, Text: w.plain.Next(text)})
		return
	}
	w.tell(w.split.Text(text)...)
}

// tell hands events on and adds them up.
func (w *writer) tell(events ...chat.Event) {
	for _, e := range events {
		switch last := len(w.res.ToolCalls) - 1; e.Kind {
		case chat.Reasoning:
			w.reasoning.WriteString(e.Text)
		case chat.Content:
			w.content.WriteString(e.Text)
		case chat.CallBegin:
			w.res.ToolCalls = append(w.res.ToolCalls, chat.ToolCall{ID: e.ID, Name: e.Name})
		case chat.CallArguments:
			w.res.ToolCalls[last].Arguments += e.Text
		case chat.CallBroken:
			w.res.ToolCalls = w.res.ToolCalls[:last]
			w.content.WriteString(e.Text)
		}
		if e.Kind > chat.Content || e.Text != "" {
			w.queue.push(Event{Kind: Kind(e.Kind), Text: e.Text, Call: e.Call, ID: e.ID, Name: e.Name})
		}
	}
}

// finish settles what was held back and sums up.
func (w *writer) finish(g generate.Result, err error) (Result, error) {
	if w.stop != nil {
		w.write(w.stop.close())
		w.res.Stop = w.stop.hit
	}
	if w.split == nil {
		w.tell(chat.Event{Kind: chat.Content, Text: w.plain.Flush()})
	} else {
		w.tell(w.split.Finish()...)
	}
	w.res.Reasoning, w.res.Text, w.res.Tokens, w.res.Finish = w.reasoning.String(), w.content.String(), g.Tokens, g.Finish
	w.res.Usage.Cached, w.res.Usage.Answer = g.Reused, len(g.Tokens)
	w.res.Timing = Timing{g.Queued, g.Prefill, g.Decode, g.Decoded, g.Steps, g.Drafted, g.Taken}
	w.res.Full = g.Finish == FinishLength && len(g.Tokens) != w.max
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		w.res.Finish = FinishInterrupted
	case err == nil && w.bound != nil && (g.Finish == FinishLength || !w.bound.complete()): // a number that was cut reads like one
		err = &CutError{len(g.Tokens), w.res.Full, w.bound.place == inThought}
	case err == nil && g.Finish == FinishStop && len(w.res.ToolCalls) > 0:
		w.res.Finish = FinishToolCalls
	}
	return w.res, err
}
