package generate

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// ggufTensor is a tensor to write; dims in GGUF's order, the row length first.
type ggufTensor struct {
	name string
	dims []int
	data []byte // float32
}

func writeGGUF(t testing.TB, md map[string]gguf.Value, tensors []ggufTensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for key, v := range md {
		w.Set(key, v)
	}
	for _, x := range tensors {
		w.Add(x.name, gguf.F32, x.dims, func(dst io.Writer) error { _, err := dst.Write(x.data); return err })
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path
}

// stories makes the GGUF file of the real model of 260 thousand parameters, as oracle/stories260k_gguf.py does, without
// its vocabulary.
func stories(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(numtest.Shared(t, "data/models/stories260k/checkpoint_legacy.bin"))
	if err != nil {
		t.Fatal(err)
	}
	var head [7]int
	for i := range head {
		head[i] = int(int32(binary.LittleEndian.Uint32(b[4*i:])))
	}
	dim, hidden, layers, heads, kv, vocab, ctx := head[0], head[1], head[2], head[3], head[4], head[5], head[6]
	b = b[28:]
	take := func(n int) []byte { x := b[:4*n]; b = b[4*n:]; return x }
	wide := dim / heads * kv
	ts := []ggufTensor{{"token_embd.weight", []int{dim, vocab}, take(vocab * dim)}}
	for _, x := range []struct {
		name    string
		in, out int // out 0: a vector
	}{
		{"attn_norm", dim, 0}, {"attn_q", dim, dim}, {"attn_k", dim, wide}, {"attn_v", dim, wide}, {"attn_output", dim, dim},
		{"ffn_norm", dim, 0}, {"ffn_gate", dim, hidden}, {"ffn_down", hidden, dim}, {"ffn_up", dim, hidden},
	} {
		for i := range layers {
			dims := []int{x.in, x.out}
			if x.out == 0 {
				dims = dims[:1]
			}
			ts = append(ts, ggufTensor{fmt.Sprintf("blk.%d.%s.weight", i, x.name), dims, take(x.in * max(x.out, 1))})
		}
	}
	ts = append(ts, ggufTensor{"output_norm.weight", []int{dim}, take(dim)})
	md := map[string]gguf.Value{"general.architecture": gguf.ValueOf("llama"), "llama.attention.layer_norm_rms_epsilon": gguf.ValueOf(float32(1e-5))}
	for key, v := range map[string]int{"block_count": layers, "context_length": ctx, "embedding_length": dim, "feed_forward_length": hidden,
		"attention.head_count": heads, "attention.head_count_kv": kv, "rope.dimension_count": dim / heads} {
		md["llama."+key] = gguf.ValueOf(uint32(v))
	}
	return writeGGUF(t, md, ts)
}

// tinyDeepSeek makes the tensors of oracle/tiny_deepseek_v3.py, or with lite those of tiny_deepseek_v2lite.py, number
// for number, and the metadata that describes them.
func tinyDeepSeek(seed uint32, lite bool) (map[string]gguf.Value, []ggufTensor) {
	const d, heads, vocab, ff, eff, experts, qRank, kvRank, nope, rope, value = 64, 4, 512, 96, 32, 8, 32, 32, 16, 8, 16
	layers, scale, gating, normalize := 3, 2.5, 2, true
	if lite {
		layers, scale, gating, normalize = 27, 1, 1, false
	}
	md := map[string]gguf.Value{"general.architecture": gguf.ValueOf("deepseek2"), "deepseek2.attention.layer_norm_rms_epsilon": gguf.ValueOf(float32(1e-6)),
		"deepseek2.rope.freq_base": gguf.ValueOf(float32(10000)), "deepseek2.expert_weights_scale": gguf.ValueOf(float32(scale)),
		"deepseek2.expert_weights_norm": gguf.ValueOf(normalize)}
	u32 := func(key string, v int) { md["deepseek2."+key] = gguf.ValueOf(uint32(v)) }
	for key, v := range map[string]int{"block_count": layers, "context_length": 256, "embedding_length": d, "feed_forward_length": ff,
		"attention.head_count": heads, "attention.head_count_kv": 1, "rope.dimension_count": rope, "attention.kv_lora_rank": kvRank,
		"attention.key_length": kvRank + rope, "attention.value_length": kvRank, "attention.key_length_mla": nope + rope,
		"attention.value_length_mla": value, "leading_dense_block_count": 1, "expert_count": experts, "expert_used_count": 2,
		"expert_shared_count": 1, "expert_feed_forward_length": eff, "expert_gating_func": gating} {
		u32(key, v)
	}
	if !lite {
		u32("attention.q_lora_rank", qRank)
		u32("expert_group_count", 4)
		u32("expert_group_used_count", 2)
	}
	rng := newPyRandom(seed)
	var ts []ggufTensor
	add := func(name string, mean, std float64, dims ...int) {
		n := 1
		for _, v := range dims {
			n *= v
		}
		x := ggufTensor{name, dims, make([]byte, 0, 4*n)}
		for range n {
			x.data = binary.LittleEndian.AppendUint32(x.data, math.Float32bits(float32(rng.gauss(mean, std))))
		}
		ts = append(ts, x)
	}
	norm := func(name string, n int) { add(name, 1, 0.1, n) }
	// matrix has a spread of gain/sqrt(in), in the row length.
	matrix := func(name string, gain float64, dims ...int) { add(name, 0, gain/math.Sqrt(float64(dims[0])), dims...) }
	add("token_embd.weight", 0, 1, d, vocab)
	for i := range layers {
		b := fmt.Sprintf("blk.%d.", i)
		norm(b+"attn_norm.weight", d)
		if lite {
			matrix(b+"attn_q.weight", 1.5, d, heads*(nope+rope))
		} else {
			matrix(b+"attn_q_a.weight", 1, d, qRank)
			norm(b+"attn_q_a_norm.weight", qRank)
			matrix(b+"attn_q_b.weight", 1.5, qRank, heads*(nope+rope))
		}
		matrix(b+"attn_kv_a_mqa.weight", 1.5, d, kvRank+rope)
		norm(b+"attn_kv_a_norm.weight", kvRank)
		add(b+"attn_k_b.weight", 0, 1/math.Sqrt(kvRank), nope, kvRank, heads)
		matrix(b+"attn_v_b.weight", 1, kvRank, value, heads)
		matrix(b+"attn_output.weight", 1, heads*value, d)
		norm(b+"ffn_norm.weight", d)
		if i == 0 {
			matrix(b+"ffn_gate.weight", 1, d, ff)
			matrix(b+"ffn_up.weight", 1, d, ff)
			matrix(b+"ffn_down.weight", 1, ff, d)
			continue
		}
		matrix(b+"ffn_gate_inp.weight", 2, d, experts)
		if !lite {
			add(b+"exp_probs_b.bias", 0, 0.1, experts)
		}
		for _, x := range []struct {
			suffix string
			count  []int
		}{{"exps", []int{experts}}, {"shexp", nil}} {
			matrix(b+"ffn_gate_"+x.suffix+".weight", 1, append([]int{d, eff}, x.count...)...)
			matrix(b+"ffn_up_"+x.suffix+".weight", 1, append([]int{d, eff}, x.count...)...)
			matrix(b+"ffn_down_"+x.suffix+".weight", 1, append([]int{eff, d}, x.count...)...)
		}
	}
	norm("output_norm.weight", d)
	matrix("output.weight", 2, d, vocab)
	return md, ts
}

// load opens a model for answering, with a cache of its own type.
func load(t testing.TB, path string, threads int, cache op.CacheType) *Engine {
	t.Helper()
	return loadWith(t, path, threads, Options{Cache: cache})
}

func loadWith(t testing.TB, path string, threads int, o Options) *Engine {
	t.Helper()
	w := NewWorker(threads)
	t.Cleanup(w.Close)
	var m *model.Model
	w.Do(func(pool *par.Pool) {
		var err error
		if m, err = model.Load(path, model.LoadOptions{Pool: pool}); err != nil {
			t.Error(err)
		}
	})
	if m == nil {
		t.FailNow()
	}
	t.Cleanup(func() { m.Close() })
	return newEngine(t, w, m, o)
}

// newEngine returns an engine that has computed nothing yet.
func newEngine(t testing.TB, w *Worker, m *model.Model, o Options) *Engine {
	m.Float32 = false // the cache is of the type that the test asks for
	e := New(w, m, o)
	t.Cleanup(e.Close)
	return e
}

// newEngineOf is newEngine over the model of e, to be closed by the caller.
func newEngineOf(e *Engine, o Options) *Engine { return New(e.w, e.Model, o) }

// fresh returns an engine over the model of e that has computed nothing yet.
func fresh(t testing.TB, e *Engine) *Engine { return newEngine(t, e.w, e.Model, e.o) }

// answer answers req.
func answer(t testing.TB, e *Engine, req Request) Result {
	t.Helper()
	res, err := e.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// next returns the logits behind tokens, and how many of the tokens were computed before.
func next(t testing.TB, e *Engine, tokens []int32) (logits []float32, reused int) {
	t.Helper()
	res := answer(t, e, Request{Prompt: tokens, Max: 1, Logits: func(_ int32, z []float32) { logits = slices.Clone(z) }})
	return logits, res.Reused
}
