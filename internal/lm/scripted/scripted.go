// Package scripted makes models that say what a test wants: each token is followed by the one that a table names. They
// are ordinary models of one layer that adds nothing, in GGUF files of some 100 KB, for tests of what stands on models.
package scripted

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"retort/internal/format/gguf"
)

// Model is what a file holds. Its vocabulary is the 256 bytes, then Text, then Control, then Unused.
type Model struct {
	Text    []string // further tokens that stand for text
	Control []string // control tokens; the first is the end of a text, if no other is
	Unused  []string // tokens that the file says are of no use
	End     string   // the control token that ends a text; "" is the first of Control
	// Next is what follows a token: texts of tokens, "" on the left for those that are not named. A token that nothing
	// follows is followed by End.
	Next     map[string]string
	Template string // of chats, or ""
	Context  int    // 0 is 512
	Rows     int    // of the embedding, where they are more than tokens
}

const width = 64

// Write writes the model into a file at path.
func (m Model) Write(path string) error {
	tokens, kinds, ids := m.vocabulary()
	rows := max(len(tokens), m.Rows)
	end := m.End
	if end == "" {
		end = m.Control[0]
	}
	head := directions(rows)
	embed := make([]float32, 0, len(head)) // of a token: the direction of what follows it
	for i := range rows {
		next, ok := m.Next[""]
		if i < len(tokens) {
			if said, named := m.Next[text(tokens, kinds, i)]; named {
				next, ok = said, true
			}
		}
		if !ok {
			next = end
		}
		to, ok := ids[next]
		if !ok {
			return fmt.Errorf("scripted: no token %q", next)
		}
		embed = append(embed, head[to*width:(to+1)*width]...)
	}
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	m.describe(w, tokens, kinds, ids[end])
	add := func(name string, data []float32, dims ...int) {
		w.Add(name, gguf.F32, dims, func(dst io.Writer) error { return binary.Write(dst, binary.LittleEndian, data) })
	}
	zeros, ones := make([]float32, width*width), make([]float32, width)
	for i := range ones {
		ones[i] = 1
	}
	add("token_embd.weight", embed, width, rows)
	for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"} {
		add("blk.0."+name+".weight", zeros, width, width)
	}
	for _, name := range []string{"blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"} {
		add(name+".weight", ones, width)
	}
	add("output.weight", head, width, rows)
	return w.Commit(context.Background())
}

// describe sets the metadata.
func (m Model) describe(w *gguf.Writer, tokens []string, kinds []int32, end int) {
	w.Set("general.architecture", gguf.ValueOf("llama"))
	w.Set("general.name", gguf.ValueOf("scripted"))
	w.Set("general.license", gguf.ValueOf("mit"))
	context := m.Context
	if context == 0 {
		context = 512
	}
	for key, v := range map[string]int{"block_count": 1, "context_length": context, "embedding_length": width, "feed_forward_length": width,
		"attention.head_count": 2, "attention.head_count_kv": 2, "rope.dimension_count": width / 2} {
		w.Set("llama."+key, gguf.ValueOf(uint32(v)))
	}
	w.Set("llama.attention.layer_norm_rms_epsilon", gguf.ValueOf(float32(1e-5)))
	w.Set("tokenizer.ggml.model", gguf.ValueOf("gpt2"))
	w.Set("tokenizer.ggml.pre", gguf.ValueOf("gpt-2"))
	w.Set("tokenizer.ggml.tokens", gguf.ArrayOf(tokens))
	w.Set("tokenizer.ggml.token_type", gguf.ArrayOf(kinds))
	w.Set("tokenizer.ggml.merges", gguf.ArrayOf([]string{}))
	w.Set("tokenizer.ggml.eos_token_id", gguf.ValueOf(uint32(end)))
	if m.Template != "" {
		w.Set("tokenizer.chat_template", gguf.ValueOf(m.Template))
	}
}

// The kinds of tokens in GGUF files.
const (
	normal  = 1
	control = 3
	unused  = 5
)

// vocabulary returns the tokens as files spell them, their kinds, and the ids by text.
func (m Model) vocabulary() (tokens []string, kinds []int32, ids map[string]int) {
	ids = map[string]int{}
	add := func(text, spelled string, kind int32) {
		ids[text] = len(tokens)
		tokens, kinds = append(tokens, spelled), append(kinds, kind)
	}
	for b := range 256 {
		add(string([]byte{byte(b)}), string(alphabet[b]), normal)
	}
	for _, text := range m.Text {
		spelled := ""
		for _, b := range []byte(text) {
			spelled += string(alphabet[b])
		}
		add(text, spelled, normal)
	}
	for _, text := range m.Control {
		add(text, text, control)
	}
	for _, text := range m.Unused {
		add(text, text, unused)
	}
	return tokens, kinds, ids
}

// text is what token id stands for, by its spelling.
func text(tokens []string, kinds []int32, id int) string {
	if kinds[id] != normal {
		return tokens[id]
	}
	var b []byte
	for _, r := range tokens[id] {
		for c := range alphabet {
			if alphabet[c] == r {
				b = append(b, byte(c))
			}
		}
	}
	return string(b)
}

// alphabet is GPT-2's: printable bytes of Latin-1 are themselves, others come from U+0100 on.
var alphabet = func() (a [256]rune) {
	next := rune(256)
	for b := range rune(256) {
		if a[b] = b; b < 0x21 || 0x7E < b && b < 0xA1 || b == 0xAD {
			a[b] = next
			next++
		}
	}
	return a
}()

// directions returns rows at random, each of length √width, so that a norm changes nothing: any two are nearly orthogonal.
func directions(rows int) []float32 {
	rng := rand.New(rand.NewPCG(5, 0))
	all := make([]float32, rows*width)
	for i := range rows {
		row, sum := all[i*width:(i+1)*width], 0.0
		for k := range row {
			row[k] = float32(rng.NormFloat64())
			sum += float64(row[k]) * float64(row[k])
		}
		for k := range row {
			row[k] *= float32(math.Sqrt(width / sum))
		}
	}
	return all
}
