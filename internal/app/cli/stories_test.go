package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/numtest"
)

// tinyModels writes the real model of 260 thousand parameters as GGUF files, as it is and with a chat template, and
// returns their paths; "" where its source is not there.
func tinyModels(t *testing.T) (stories, chatty string) {
	var dir string
	t.Run("source", func(t *testing.T) { dir = numtest.Shared(t, "data/models/stories260k") }) // a skip is this subtest's alone
	if dir == "" {
		return "", ""
	}
	stories, chatty = filepath.Join(t.TempDir(), "stories.gguf"), filepath.Join(t.TempDir(), "chatty.gguf")
	template := "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
	for path, template := range map[string]string{stories: "", chatty: template} {
		if err := writeStories(dir, path, template); err != nil {
			t.Fatal(err)
		}
	}
	return stories, chatty
}

// needTinyModels is tinyModels for a test that is nothing without them.
func needTinyModels(t *testing.T) (stories, chatty string) {
	t.Helper()
	if stories, chatty = tinyModels(t); stories == "" {
		t.Skip("the tiny model is not here")
	}
	return stories, chatty
}

// writeStories turns llama2.c's checkpoint and tokenizer into a GGUF file, as oracle/stories260k_gguf.py does. Format:
// seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, context), then the matrices of each kind layer by
// layer in float32.
func writeStories(dir, path, template string) error {
	checkpoint, err := os.ReadFile(filepath.Join(dir, "checkpoint_legacy.bin"))
	if err != nil {
		return err
	}
	vocabulary, err := os.ReadFile(filepath.Join(dir, "tokenizer.bin"))
	if err != nil {
		return err
	}
	var h [7]int32
	if err := binary.Read(bytes.NewReader(checkpoint), binary.LittleEndian, &h); err != nil {
		return err
	}
	dim, hidden, layers, heads, kv, vocab := int(h[0]), int(h[1]), int(h[2]), int(h[3]), int(h[4]), int(h[5])
	head := dim / heads
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	w.Set("general.architecture", gguf.ValueOf("llama"))
	w.Set("general.name", gguf.ValueOf("stories260K"))
	for key, v := range map[string]int{"block_count": layers, "context_length": int(h[6]), "embedding_length": dim, "feed_forward_length": hidden,
		"attention.head_count": heads, "attention.head_count_kv": kv, "rope.dimension_count": head} {
		w.Set("llama."+key, gguf.ValueOf(uint32(v)))
	}
	w.Set("llama.attention.layer_norm_rms_epsilon", gguf.ValueOf(float32(1e-5)))
	setVocabulary(w, vocabulary[4:], vocab)
	if template != "" {
		w.Set("tokenizer.chat_template", gguf.ValueOf(template))
	}
	rest := checkpoint[28:]
	add := func(name string, dims ...int) {
		n := 4
		for _, d := range dims {
			n *= d
		}
		data := rest[:n]
		rest = rest[n:]
		w.Add(name, gguf.F32, dims, func(dst io.Writer) error { _, err := dst.Write(data); return err })
	}
	each := func(name string, dims ...int) {
		for i := range layers {
			add(fmt.Sprintf("blk.%d.%s.weight", i, name), dims...)
		}
	}
	add("token_embd.weight", dim, vocab)
	each("attn_norm", dim)
	each("attn_q", dim, heads*head)
	each("attn_k", dim, kv*head)
	each("attn_v", dim, kv*head)
	each("attn_output", heads*head, dim)
	each("ffn_norm", dim)
	each("ffn_gate", dim, hidden)
	each("ffn_down", hidden, dim)
	each("ffn_up", dim, hidden)
	add("output_norm.weight", dim)
	return w.Commit(context.Background())
}

func setVocabulary(w *gguf.Writer, b []byte, n int) {
	var tokens []string
	var scores []float32
	var kinds []int32
	for i := range n {
		score := math.Float32frombits(binary.LittleEndian.Uint32(b))
		size := binary.LittleEndian.Uint32(b[4:])
		text, kind := strings.ReplaceAll(string(b[8:8+size]), " ", "▁"), int32(1)
		b = b[8+size:]
		switch {
		case i == 0:
			text, kind = "<unk>", 2
		case i == 1:
			text, kind = "<s>", 3
		case i == 2:
			text, kind = "</s>", 3
		case i < 259:
			kind = 6
		}
		tokens, scores, kinds = append(tokens, text), append(scores, score), append(kinds, kind)
	}
	w.Set("tokenizer.ggml.model", gguf.ValueOf("llama"))
	w.Set("tokenizer.ggml.tokens", gguf.ArrayOf(tokens))
	w.Set("tokenizer.ggml.scores", gguf.ArrayOf(scores))
	w.Set("tokenizer.ggml.token_type", gguf.ArrayOf(kinds))
	w.Set("tokenizer.ggml.bos_token_id", gguf.ValueOf(uint32(1)))
	w.Set("tokenizer.ggml.eos_token_id", gguf.ValueOf(uint32(2)))
	w.Set("tokenizer.ggml.unknown_token_id", gguf.ValueOf(uint32(0)))
	w.Set("tokenizer.ggml.add_bos_token", gguf.ValueOf(true))
}
