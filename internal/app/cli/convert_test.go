package cli

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
)

// TestConvertLlama3Scaling: a folder whose positions are stretched as Llama 3's becomes a GGUF file with
// rope_freqs.weight and the same logits, and that file a folder again that says the same.
//
// llama.cpp (npm node-llama-cpp 3.22.1, oracle/llamacpp.mjs greedy) read the file that RETORT_KEEP keeps and continued
// 1 403 407 261 378, and the 300 tokens of scores, with the 30 greedy tokens of `retort run`.
func TestConvertLlama3Scaling(t *testing.T) {
	stories, _ := needTinyModels(t)
	dir := t.TempDir()
	folder, file, back := filepath.Join(dir, "folder"), filepath.Join(dir, "made.gguf"), filepath.Join(dir, "back")
	convert(t, stories, folder)
	stretch(t, folder, map[string]any{"rope_theta": 500000.0}) // waves of 6, 167, 4443 and 118142 tokens
	plain := scores(t, folder)
	scaling := map[string]any{"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
	stretch(t, folder, map[string]any{"rope_scaling": scaling})
	want := scores(t, folder)
	if far := distance(want, plain); far < 1e-2 {
		t.Fatalf("the stretched model is off by %g from the one that is not: the test would see nothing", far)
	}
	convert(t, folder, file)
	// Frequencies of the file are quotients of float32; logits are of the order of 10.
	if far := distance(scores(t, file), want); far > 1e-4 {
		t.Errorf("the GGUF file is off by %g", far)
	}
	convert(t, file, back)
	if far := distance(scores(t, back), want); far > 1e-4 {
		t.Errorf("the folder made of it is off by %g", far)
	}
	var config struct {
		Scaling map[string]any `json:"rope_scaling"`
	}
	b, err := os.ReadFile(filepath.Join(back, model.ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0} {
		if config.Scaling[key] != want {
			t.Errorf("rope_scaling.%s is %v, want %v", key, config.Scaling[key], want)
		}
	}
	if keep := os.Getenv("RETORT_KEEP"); keep != "" {
		convert(t, folder, keep)
	}

	// What no config.json, or no GGUF file, can say is refused.
	scaling["original_max_position_embeddings"] = 512
	stretch(t, folder, map[string]any{"rope_scaling": scaling})
	odd := filepath.Join(dir, "odd.gguf")
	convert(t, folder, odd)
	err = (&convertOptions{threads: 1}).run(context.Background(), odd, filepath.Join(dir, "no"), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no config.json can say that") {
		t.Errorf("divisors of another context: error %v", err)
	}
	stretch(t, folder, map[string]any{"model_type": "qwen3"})
	err = (&convertOptions{threads: 1}).run(context.Background(), folder, filepath.Join(dir, "no.gguf"), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `rope scaling "llama3" of model_type "qwen3"`) {
		t.Errorf("qwen3: error %v", err)
	}
}

// TestConvertKeepsVocabulary: a vocabulary without a certain tokenizer.json goes into the folder as a GGUF file, which the
// user is told, and comes back from there.
func TestConvertKeepsVocabulary(t *testing.T) {
	stories, _ := needTinyModels(t)
	dir := t.TempDir()
	odd, folder, back := filepath.Join(dir, "odd.gguf"), filepath.Join(dir, "folder"), filepath.Join(dir, "back.gguf")
	s, err := openSource(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.md.Set("tokenizer.ggml.scores", gguf.ArrayOf(make([]float32, 512))) // every token of one score: no merges can say that
	pool := par.New(1)
	defer pool.Close()
	if err := (weights.Recoding{Source: s, Metadata: s.md, Layout: s.layout, Pool: pool, Told: func(_, _ int64, _ string) {}}).WriteGGUF(context.Background(), odd); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := (&convertOptions{threads: 1}).run(context.Background(), odd, folder, io.Discard, &told); err != nil {
		t.Fatal(err)
	}
	if got := told.String(); !strings.HasPrefix(got, "note: the vocabulary is kept as tokenizer.gguf, ") || !strings.Contains(got, "have one score, 0") || strings.Count(got, "\n") != 1 {
		t.Errorf("told %q", got)
	}
	if exists(filepath.Join(folder, "tokenizer.json")) || !exists(filepath.Join(folder, vocabularyName)) {
		t.Error("the folder has a tokenizer.json, or no tokenizer.gguf")
	}
	again := filepath.Join(dir, "again")
	convert(t, folder, again)
	convert(t, again, back)
	want, _, err := readVocabulary(odd)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := readVocabulary(back)
	if err != nil {
		t.Fatal(err)
	}
	const text = "Once upon a time, there was a little girl named Lily."
	if a, b := got.Encode(text, rawText), want.Encode(text, rawText); !slices.Equal(a, b) {
		t.Errorf("%q became %v, want %v", text, a, b)
	}
}

// TestConvertKeepsMetadata: what a GGUF file says of its model, and of a student's training, is also in what is made of
// a folder that was made of it.
func TestConvertKeepsMetadata(t *testing.T) {
	stories, _ := needTinyModels(t)
	dir := t.TempDir()
	student, stu, copied, back := filepath.Join(dir, "student.gguf"), filepath.Join(dir, "stu"), filepath.Join(dir, "copied"), filepath.Join(dir, "back.gguf")
	s, err := openSource(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[string]string{"general.name": "mail student of <large>", "general.license": "apache-2.0", "retort.training": "b1946ac9"}
	for key, v := range want {
		s.md.Set(key, gguf.ValueOf(v))
	}
	s.md.Set("general.description", gguf.ValueOf(strings.Repeat("long ", 1<<20))) // no config.json may be so large
	pool := par.New(1)
	defer pool.Close()
	if err := (weights.Recoding{Source: s, Metadata: s.md, Layout: s.layout, Pool: pool, Told: func(_, _ int64, _ string) {}}).WriteGGUF(context.Background(), student); err != nil {
		t.Fatal(err)
	}
	convert(t, student, stu)
	convert(t, stu, copied)
	if err := (&convertOptions{threads: 1, mixture: "q8_0"}).run(context.Background(), copied, back, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(back)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, v := range want {
		if got, err := f.StringOr(key, ""); err != nil || got != v {
			t.Errorf("%s is %q, %v, want %q", key, got, err, v)
		}
	}
	if _, ok := f.Value("general.description"); ok {
		t.Error("a value of 5 MB went through config.json")
	}
	// A config.json of others' making sets nothing that the types and the file decide.
	stretch(t, stu, map[string]any{keptKey: map[string]string{"general.alignment": "7", "general.architecture": "x", "tokenizer.ggml.model": "x", "general.name": "y"}})
	odd := filepath.Join(dir, "odd.gguf")
	convert(t, stu, odd)
	if info, err := describe(odd); err != nil || info.Name != "y" || info.Architecture != "llama" {
		t.Errorf("the file is of %+v, %v", info, err)
	}
}

// TestConvertWantsAll: a folder that lacks tensors, or has some of another shape, becomes no file.
func TestConvertWantsAll(t *testing.T) {
	stories, _ := needTinyModels(t)
	for key, c := range map[string]struct {
		value int
		want  string
	}{"num_hidden_layers": {6, "blk.5.ffn_down.weight: missing, want shape [64 172]"}, "intermediate_size": {160, "blk.4.ffn_down.weight: shape [64 172], want [64 160]"}} {
		dir := t.TempDir()
		folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "made.gguf")
		convert(t, stories, folder)
		stretch(t, folder, map[string]any{key: c.value})
		err := (&convertOptions{threads: 1}).run(context.Background(), folder, file, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || exists(file) {
			t.Errorf("%s: error %v, want %s, and no file", key, err, c.want)
		}
	}
}

// TestCompleteExperts: latent attention and experts are looked at without data too.
func TestCompleteExperts(t *testing.T) {
	c := model.Config{Arch: "deepseek2", Vocab: 32, Width: 16, Layers: 2, Heads: 2, KVHeads: 2, HeadDim: 10, FFN: 24, Context: 64, Eps: 1e-6,
		Rope: model.RopeConfig{Dim: 4, Theta: 100, Pairs: true}, MLA: &model.MLAConfig{QRank: 11, KVRank: 9, Nope: 6, Rope: 4, Value: 5},
		MoE: &model.MoEConfig{Experts: 6, TopK: 2, Shared: 2, FFN: 7, Dense: 1, Groups: 3, Keep: 2, Sigmoid: true, Normalize: true, Scale: 1.5}}
	m, err := model.Fresh(c, 1, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := m.WriteSafetensors(context.Background(), dir, quant.F32); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := weights.FromSafetensors(f, weights.Layout{Arch: c.Arch, Layers: 2, Experts: 6, Heads: 2, KVHeads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := complete(c, src); err != nil {
		t.Error(err)
	}
	c.MoE.Experts = 9
	if err := complete(c, src); err == nil || !strings.Contains(err.Error(), "blk.1.ffn_down_exps.weight: shape [6 16 7], want [9 16 7]") {
		t.Errorf("an expert is missing: error %v", err)
	}
}

// TestSourceDescribes: to look at a folder's tensors copies none, also through what convert wraps around them.
func TestSourceDescribes(t *testing.T) {
	stories, _ := needTinyModels(t)
	folder := filepath.Join(t.TempDir(), "folder")
	convert(t, stories, folder)
	s, err := openSource(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const name = "blk.0.attn_q.weight" // whose rows go in another order
	told, ok := weights.Describe(s, name)
	if !ok || told.Data != nil || len(told.Dims) != 2 {
		t.Errorf("%s is described as %v, %d bytes", name, told.Dims, len(told.Data))
	}
	if whole, ok := s.Tensor(name); !ok || len(whole.Data) != 4*told.Elements() {
		t.Errorf("%s: %d bytes", name, len(whole.Data))
	}
	s.rope = &weights.Tensor{Name: "rope_freqs.weight", Dims: []int{4}}
	if rope, ok := weights.Describe(s, s.rope.Name); !ok || len(rope.Dims) != 1 {
		t.Errorf("%s is described as %+v, %v", s.rope.Name, rope, ok)
	}
}

func convert(t *testing.T, src, dst string) {
	t.Helper()
	if err := (&convertOptions{threads: 1}).run(context.Background(), src, dst, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
}

// stretch sets keys of a folder's config.json.
func stretch(t *testing.T, folder string, keys map[string]any) {
	t.Helper()
	path := filepath.Join(folder, model.ConfigName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	for key, v := range keys {
		config[key] = v
	}
	if b, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// scores returns the logits of a model on a text of 300 tokens, in float32.
func scores(t *testing.T, path string) []float32 {
	t.Helper()
	w := generate.NewWorker(1)
	defer w.Close()
	m, err := model.Load(path, model.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tokens := []int32{1, 403, 407, 261, 378}
	for i := range int32(295) {
		tokens = append(tokens, 260+i*37%250)
	}
	var all []float32
	if err := generate.New(w, m, generate.Options{Cache: op.CacheF32}).Score(context.Background(), tokens, func(_ int, logits []float32) { all = append(all, logits...) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// distance is the largest difference of two models' logits.
func distance(a, b []float32) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.Inf(1)
	}
	far := 0.0
	for i := range a {
		d := math.Abs(float64(a[i] - b[i]))
		if !(d <= far) {
			far = d
		}
	}
	return far
}
