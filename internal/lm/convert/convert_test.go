package convert

import (
	"context"
	"encoding/json"
	"fmt"
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
	"retort/internal/format/tokenizer"
	"retort/internal/format/weights"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
)

// TestConvertLlama3Scaling: a folder whose positions are stretched as Llama 3's becomes a GGUF file with
// rope_freqs.weight and the same logits, and that file a folder again that says the same.
//
// llama.cpp (npm node-llama-cpp 3.22.1, oracle/llamacpp.mjs greedy) read the file that RETORT_KEEP keeps, made of the real
// model of 260 thousand parameters, and continued 1 403 407 261 378 with the 30 greedy tokens of `retort run`.
func TestConvertLlama3Scaling(t *testing.T) {
	stories := tiny(t, 300)
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
	err = write(odd, filepath.Join(dir, "no"), Options{})
	if err == nil || !strings.Contains(err.Error(), "no config.json can say that") {
		t.Errorf("divisors of another context: error %v", err)
	}
	stretch(t, folder, map[string]any{"model_type": "qwen3"})
	err = write(folder, filepath.Join(dir, "no.gguf"), Options{})
	if err == nil || !strings.Contains(err.Error(), `rope scaling "llama3" of model_type "qwen3"`) {
		t.Errorf("qwen3: error %v", err)
	}
}

// TestConvertKeepsVocabulary: a vocabulary without a certain tokenizer.json goes into the folder as a GGUF file, which the
// user is told, and comes back from there.
func TestConvertKeepsVocabulary(t *testing.T) {
	stories := tiny(t, 300)
	dir := t.TempDir()
	odd, folder, back := filepath.Join(dir, "odd.gguf"), filepath.Join(dir, "folder"), filepath.Join(dir, "back.gguf")
	s, err := openSource(stories, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.md.Set("tokenizer.ggml.scores", gguf.ArrayOf(make([]float32, 300))) // every token of one score: no merges can say that
	pool := par.New(1)
	defer pool.Close()
	if err := (weights.Recoding{Source: s, Metadata: s.md, Layout: s.layout, Pool: pool, Told: func(_, _ int64, _ string) {}}).WriteGGUF(context.Background(), odd); err != nil {
		t.Fatal(err)
	}
	told := ""
	if err := write(odd, folder, Options{Note: func(text string) { told += text }}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(told, "the vocabulary is kept as tokenizer.gguf, ") || !strings.Contains(told, "have one score, 0") {
		t.Errorf("told %q", told)
	}
	if exists(filepath.Join(folder, tokenizer.FileName)) || !exists(filepath.Join(folder, tokenizer.GGUFName)) {
		t.Error("the folder has a tokenizer.json, or no tokenizer.gguf")
	}
	again := filepath.Join(dir, "again")
	convert(t, folder, again)
	convert(t, again, back)
	want, err := tokenizer.Open(odd)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokenizer.Open(back)
	if err != nil {
		t.Fatal(err)
	}
	const text = "the other one and then some, Lily."
	if a, b := got.Tokenizer.Encode(text, tokenizer.Options{}), want.Tokenizer.Encode(text, tokenizer.Options{}); !slices.Equal(a, b) {
		t.Errorf("%q became %v, want %v", text, a, b)
	}
}

// TestConvertKeepsMetadata: what a GGUF file says of its model, and of a student's training, is also in what is made of
// a folder that was made of it.
func TestConvertKeepsMetadata(t *testing.T) {
	stories := tiny(t, 300)
	dir := t.TempDir()
	student, stu, copied, back := filepath.Join(dir, "student.gguf"), filepath.Join(dir, "stu"), filepath.Join(dir, "copied"), filepath.Join(dir, "back.gguf")
	s, err := openSource(stories, "")
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
	mix, _ := weights.FindMixture("q8_0")
	if err := write(copied, back, Options{Mixture: mix}); err != nil {
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
	g, err := gguf.Open(odd)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if name, err := g.String("general.name"); err != nil || name != "y" {
		t.Errorf("the name is %q, %v", name, err)
	}
	if arch, err := g.Architecture(); err != nil || arch != "llama" {
		t.Errorf("the architecture is %q, %v", arch, err)
	}
}

// TestConvertWantsAll: a folder that lacks tensors, or has some of another shape, becomes no file.
func TestConvertWantsAll(t *testing.T) {
	stories := tiny(t, 300)
	for key, c := range map[string]struct {
		value int
		want  string
	}{"num_hidden_layers": {3, "blk.2.ffn_down.weight: missing, want shape [64 96]"}, "intermediate_size": {160, "blk.1.ffn_down.weight: shape [64 96], want [64 160]"}} {
		dir := t.TempDir()
		folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "made.gguf")
		convert(t, stories, folder)
		stretch(t, folder, map[string]any{key: c.value})
		err := write(folder, file, Options{})
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
	stories := tiny(t, 300)
	folder := filepath.Join(t.TempDir(), "folder")
	convert(t, stories, folder)
	s, err := openSource(folder, "")
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

// write is ToGGUF or ToFolder by dst's name, with one thread.
func write(src, dst string, o Options) error {
	o.Pool = par.New(1)
	defer o.Pool.Close()
	if strings.HasSuffix(dst, ".gguf") {
		return ToGGUF(context.Background(), src, dst, o)
	}
	return ToFolder(context.Background(), src, dst, o)
}

func convert(t *testing.T, src, dst string) {
	t.Helper()
	if err := write(src, dst, Options{}); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tiny writes a random model of llama's architecture with 300 rows as a GGUF file, whose vocabulary, SentencePiece's, has so
// many tokens.
func tiny(t *testing.T, tokens int) string {
	t.Helper()
	c := model.Config{Arch: "llama", Vocab: 300, Width: 64, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 96, Context: 512, Eps: 1e-5,
		Rope: model.RopeConfig{Dim: 8, Theta: 10000, Pairs: true}}
	m, err := model.Fresh(c, 1, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, p := range m.Params() {
		if len(p.Dims) == 2 { // so much that logits are of the order of 10 and heads look at something
			p.Slices(func(values, _ []float32) {
				for i := range values {
					values[i] *= 15
				}
			})
		}
	}
	md := c.Metadata("tiny")
	texts, kinds, scores := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}, make([]float32, 3)
	for b := range 256 {
		texts, kinds, scores = append(texts, fmt.Sprintf("<0x%02X>", b)), append(kinds, 6), append(scores, 0)
	}
	for i, text := range strings.Fields("▁ a b c d e f g h i j k l m n o p q r s t u v w x y z ▁the the th ▁th ▁a an and ▁and ▁o on ▁on one he me , .") {
		texts, kinds, scores = append(texts, text), append(kinds, 1), append(scores, -1-float32(i))
	}
	if len(texts) < tokens {
		t.Fatalf("%d tokens, want %d", len(texts), tokens)
	}
	for key, v := range map[string]gguf.Value{"model": gguf.ValueOf("llama"), "tokens": gguf.ArrayOf(texts[:tokens]), "token_type": gguf.ArrayOf(kinds[:tokens]),
		"scores": gguf.ArrayOf(scores[:tokens]), "bos_token_id": gguf.ValueOf(uint32(1)), "eos_token_id": gguf.ValueOf(uint32(2)), "add_bos_token": gguf.ValueOf(true)} {
		md.Set("tokenizer.ggml."+key, v)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := m.WriteGGUF(context.Background(), path, md, quant.F32); err != nil {
		t.Fatal(err)
	}
	return path
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
	return scoresOf(t, path, "")
}

// scoresOf is scores of the model with an adapter.
func scoresOf(t *testing.T, path, adapter string) []float32 {
	t.Helper()
	w := generate.NewWorker(1)
	defer w.Close()
	m, err := model.Load(path, model.LoadOptions{Adapter: adapter})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tokens := []int32{1}
	for i := range int32(299) {
		tokens = append(tokens, 259+i*37%41)
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
