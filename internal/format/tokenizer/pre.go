package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// pretokenizer is how one family of byte-level BPE models cuts text into words before it merges inside them.
type pretokenizer struct {
	stages       []stage
	ignoreMerges bool   // a word that is a token is that token, whatever the merges would make of it
	addBOS       bool   // what a missing tokenizer.ggml.add_bos_token means
	form         string // the stages by their names in hfExpressions, as published tokenizer.json have them; "" where that is not certain
}

// pretokenizers maps tokenizer.ggml.pre to how words are cut. The names are those of llama.cpp v0.5.0 (llama-vocab.cpp);
// several vocabularies share one expression. Of its names these are missing: afmoe, chameleon, cohere2moe,
// granite-embed-multi-97m, spark2_5, tiny_aya and youtu, and those whose words are not spelled in bytes: gemma4,
// granite-embed-multi-311m, sarvam-moe and whitespace.
var pretokenizers = func() map[string]pretokenizer {
	llama := llama3{digits: 3, word: letter}
	qwen := llama3{digits: 1, word: letter}
	qwen35 := llama3{digits: 1, word: letter | mark}
	seed := llama3{digits: 1, word: letter, bare: true}
	turkish := llama3{digits: 1, word: letter, whole: true}
	jais2 := llama3{digits: 3, word: letter, spaces: jaisSpaces}
	table := map[string]pretokenizer{}
	for _, row := range []struct {
		names string
		pre   pretokenizer
	}{
		{"gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe gigachat a.x-4.0 mellum " +
			"modern-bert exaone4 mpt olmo jais trillion granite-docling", pretokenizer{stages: []stage{gpt2}, form: "gpt2"}},
		{"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", pretokenizer{stages: []stage{digits(1), gpt2}, form: "digit gpt2"}},
		{"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
			pretokenizer{stages: []stage{llama.match}, ignoreMerges: true, addBOS: true, form: "llama3"}},
		{"dbrx smaug-bpe glm4 chatglm-bpe", pretokenizer{stages: []stage{llama.match}, form: "llama3"}},
		{"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2", pretokenizer{stages: []stage{qwen.match}, form: "qwen2"}},
		{"bailingmoe bailingmoe2 llada-moe", pretokenizer{stages: []stage{qwen.match}, form: "bailingmoe"}}, // written otherwise, and the same
		{"seed-coder", pretokenizer{stages: []stage{seed.match}, form: "seed-coder"}},
		{"ufakzeka", pretokenizer{stages: []stage{turkish.match}}},
		{"laguna", pretokenizer{stages: []stage{lines, qwen.match}}},
		{"minicpm5", pretokenizer{stages: []stage{digits(3), llama.match}, ignoreMerges: true}},
		{"jais-2", pretokenizer{stages: []stage{jais2.match}}},
		{"kimi-k2", pretokenizer{stages: []stage{kimiK2}}},
		{"exaone-moe", pretokenizer{stages: []stage{exaoneMoE}}},
		{"superbpe", pretokenizer{stages: superBPE}},
		{"bloom poro-chat gpt3-finnish", pretokenizer{stages: []stage{bloom}, form: "bloom"}},
		{"viking", pretokenizer{stages: []stage{bloom, digits(1)}, form: "bloom digit"}},
		{"qwen35", pretokenizer{stages: []stage{qwen35.match}, form: "qwen35"}},
		{"deepseek-llm", pretokenizer{stages: deepseekLLM, form: "line cased marks trailing wide digit"}},
		{"deepseek-coder", pretokenizer{stages: deepseekCoder, form: "line letters punctuation wide digit"}},
		{"deepseek-v3 joyai-llm hunyuan-dense hy_v4", pretokenizer{stages: []stage{digits(3), kanaHan, deepseek3}, form: "digits3 kana deepseek3"}},
		{"falcon", pretokenizer{stages: []stage{falconMarks(true), gpt2, threeDigits}}},
		{"default", pretokenizer{stages: []stage{falconMarks(false), gpt2, digits(0), threeDigits}}},
		{"gpt-4o llama4 kanana2 talkie minimax-m2", pretokenizer{stages: []stage{o200k{digits: 3, suffix: true}.match}, form: "gpt-4o"}},
		{"tekken", pretokenizer{stages: []stage{o200k{digits: 1}.match}, ignoreMerges: true, addBOS: true, form: "tekken"}},
	} {
		for name := range strings.FieldsSeq(row.names) {
			table[name] = row.pre
		}
	}
	return table
}()

// pretokenizerNamed returns the pre-tokenizer of a GGUF file; an absent name is "default".
func pretokenizerNamed(name string) (pretokenizer, error) {
	if name == "" {
		name = "default"
	}
	pre, ok := pretokenizers[name]
	if !ok {
		known := make([]string, 0, len(pretokenizers))
		for name := range pretokenizers {
			known = append(known, name)
		}
		slices.Sort(known)
		return pre, fmt.Errorf("unknown pre-tokenizer %q; known are %s", name, strings.Join(known, ", "))
	}
	return pre, nil
}
