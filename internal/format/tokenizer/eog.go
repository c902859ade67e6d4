package tokenizer

import "slices"

// endNames are the tokens that end a generation in some model, by their text: files name one EOS, but chat models also
// stop at the end of a turn or message. The list is that of llama.cpp
// v0.5.0 (llama-vocab.cpp, special_eog_ids), with DeepSeek-Coder's <|EOT|>.
var endNames = []string{
	"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
	"<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
	"<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[", "<|EOT|>",
}

// nextFileNames end a generation in fill-in-the-middle models: padding, and the start of the next file.
var nextFileNames = []string{
	"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
	"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
}

// fillNames are the other marks of fill-in-the-middle.
var fillNames = []string{
	"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>",
	"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>",
	"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>",
}

// controlNames are control tokens whatever type a file gives them: some old conversions call them normal, and text
// could then end a turn.
var controlNames = func() map[string]bool {
	set := map[string]bool{}
	for _, names := range [][]string{endNames, nextFileNames, fillNames} {
		for _, name := range names {
			set[name] = true
		}
	}
	return set
}()

// findEnds collects the ids that end a generation: those of the names, and those that the files gave.
func (t *Tokenizer) findEnds() {
	t.eog = t.namedEnds()
	for _, id := range append([]int{t.EOS, t.eot, t.eom}, t.ends...) {
		if id >= 0 && id < len(t.text) {
			t.eog[id] = true
		}
	}
}

// namedEnds are the ids that end a generation by their names alone.
func (t *Tokenizer) namedEnds() map[int]bool {
	ends := map[int]bool{}
	for _, names := range [][]string{endNames, nextFileNames} {
		for _, name := range names {
			if id, ok := t.byText[name]; ok && t.kind[id] != normal {
				ends[int(id)] = true
			}
		}
	}
	has := func(name string) bool { _, ok := t.byText[name]; return ok }
	if has("<|end|>") && (has("<|call|>") && has("<|return|>") || has("<|calls|>") && has("<|flush|>")) {
		delete(ends, int(t.byText["<|end|>"])) // in these formats it ends one message of several
	}
	return ends
}

// spareEnds are the ends that no name and no key of llama.cpp gives: EOT and EOM take the first two where the files have
// none, and what is left goes under a key of ours.
func (t *Tokenizer) spareEnds() (eot, eom int, rest []int) {
	eot, eom = t.eot, t.eom
	named := t.namedEnds()
	for _, id := range t.ends {
		switch {
		case named[id] || id == t.EOS || id == eot || id == eom || slices.Contains(rest, id):
		case eot < 0:
			eot = id
		case eom < 0:
			eom = id
		default:
			rest = append(rest, id)
		}
	}
	return eot, eom, rest
}
