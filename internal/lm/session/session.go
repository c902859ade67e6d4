// Package session is a model that answers text. A path is opened; messages, text or token ids go in, events come
// out: how far the prompt is read, reasoning, content, tool calls, probabilities, and the end with its reason and what
// it took.
//
//	host := session.NewHost(4)
//	defer host.Close()
//	m, err := host.Open(ctx, "model.gguf", session.Options{})
//	…
//	a, err := m.Start(ctx, session.Request{Messages: []chat.Message{{Role: "user", Content: "Why is the sky blue?"}}})
//	…
//	for e := range a.Events() {
//		if e.Kind == session.Content {
//			fmt.Print(e.Text)
//		}
//	}
//	res, err := a.Wait()
//
// It joins what lies below it: the file, the tokenizer, the chat template, the grammar, the engine. There is no HTTP in
// it, and nothing above it knows a tensor.
//
// Open this file first, then form.go (a model without its weights), request.go and answer.go.
package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
)

// Host is the part of a process that computes: one goroutine with its workers, for any number of models. It is safe for
// concurrent use.
type Host struct {
	worker *generate.Worker

	mu     sync.Mutex
	models map[*Model]bool
}

// NewHost starts threads workers.
func NewHost(threads int) *Host {
	return &Host{worker: generate.NewWorker(threads), models: map[*Model]bool{}}
}

// Threads is how many workers there are.
func (h *Host) Threads() int { return h.worker.Threads() }

// Do runs f with the workers between two steps of the models, and returns when it is done: for measuring.
func (h *Host) Do(f func(*par.Pool)) { h.worker.Do(f) }

// Close ends what runs and closes every model that is still open.
func (h *Host) Close() {
	h.mu.Lock()
	open := make([]*Model, 0, len(h.models))
	for m := range h.models {
		open = append(open, m)
	}
	h.mu.Unlock()
	for _, m := range open {
		m.Close()
	}
	h.worker.Close()
}

// Options say how a model is opened. The zero value is right for most.
type Options struct {
	// Adapter is the folder of a PEFT adapter that goes with the model; "" is none.
	Adapter string
	// Cache is how keys and values are kept: bf16, f32 or q8_0; "" is bf16. A model whose weights are float32 keeps them
	// in float32 in any case.
	Cache string
	// CacheBytes bounds the keys and values of all requests together; 0 is what Requests of Context need, if not too much.
	CacheBytes int64
	// Requests is for how many requests at a time there is room where CacheBytes is 0; 0 is a few.
	Requests int
	// Context is how many tokens prompt and answer of one request have at most; 0 is what the model was made for.
	Context int
	// AtMost lets Context be no more than what the model was made for.
	AtMost bool
}

// Model is an opened model. It is safe for concurrent use.
type Model struct {
	*Form

	host   *Host
	engine *generate.Engine
	file   *gguf.File // nil for a folder

	once sync.Once
	err  error // of closing
}

// Open loads the model at path: a GGUF file, any part of one in parts, or a folder with config.json and safetensors.
func (h *Host) Open(ctx context.Context, path string, o Options) (*Model, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		form, err := Look(path)
		if err != nil {
			return nil, err
		}
		return h.load(ctx, form, o, source{load: func(opts model.LoadOptions) (*model.Model, error) { return model.Load(path, opts) },
			sample: func(p fingerprint) error { return p.safetensors(path) }})
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	return h.OpenFile(ctx, f, o)
}

// OpenFile is Open of a GGUF file that is open already, such as one in memory. The file is closed with the model, and
// when there is an error.
func (h *Host) OpenFile(ctx context.Context, f *gguf.File, o Options) (*Model, error) {
	form, err := LookFile(f)
	if err == nil {
		var m *Model
		m, err = h.load(ctx, form, o, source{file: f, load: func(opts model.LoadOptions) (*model.Model, error) { return model.FromGGUF(f, opts) },
			sample: func(p fingerprint) error { return p.gguf(f) }})
		if err == nil {
			return m, nil
		}
		err = fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil, errors.Join(err, f.Close())
}

// source is where weights come from.
type source struct {
	file   *gguf.File // that belongs to the model, or nil
	load   func(model.LoadOptions) (*model.Model, error)
	sample func(fingerprint) error
}

// load makes a model of its weights, in the goroutine that computes: packing them takes its workers.
func (h *Host) load(ctx context.Context, form *Form, o Options, s source) (*Model, error) {
	eo := generate.Options{Cache: op.CacheBF16, CacheBytes: o.CacheBytes, Context: o.Context, Requests: o.Requests}
	if o.AtMost {
		eo.Context = min(o.Context, form.Context)
	}
	var err error
	if o.Cache != "" {
		if eo.Cache, err = op.ParseCacheType(o.Cache); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var weights *model.Model
	h.worker.Do(func(pool *par.Pool) { weights, err = s.load(model.LoadOptions{Pool: pool, Adapter: o.Adapter}) })
	if err != nil {
		return nil, err
	}
	p := newFingerprint(form.config)
	err = s.sample(p)
	if err == nil && o.Adapter != "" {
		err = p.adapter(o.Adapter)
	}
	if err != nil {
		return nil, errors.Join(err, weights.Close())
	}
	eo.ID = p.text()
	m := &Model{Form: form, host: h, file: s.file, engine: generate.New(h.worker, weights, eo)}
	h.mu.Lock()
	h.models[m] = true
	h.mu.Unlock()
	return m, nil
}

// Limit is how many tokens the prompt and the answer of one request may have together.
func (m *Model) Limit() int { return m.engine.Context() }

// Engine is what computes m's tokens: for measuring and for scores, which have no text.
func (m *Model) Engine() *generate.Engine { return m.engine }

// Close ends the answers that are not complete, with generate.ErrClosed, and gives the memory back. Closing again does
// nothing.
func (m *Model) Close() error {
	m.once.Do(func() {
		m.host.mu.Lock()
		delete(m.host.models, m)
		m.host.mu.Unlock()
		m.engine.Close()
		m.err = m.engine.Model.Close()
		if m.file != nil {
			m.err = errors.Join(m.err, m.file.Close())
		}
	})
	return m.err
}
