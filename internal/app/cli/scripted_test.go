package cli

import (
	"path/filepath"
	"testing"

	"retort/internal/lm/scripted"
)

// chatml opens the assistant's turn with <|go|>, which a script can follow.
const chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<|go|>{% endif %}"

var marks = []string{"<|im_end|>", "<|im_start|>", "<|go|>", "<think>", "</think>"}

// scriptedModels are models that say what scripts want, by the name of the variable that is their file.
var scriptedModels = map[string]scripted.Model{
	// THINKER's template opens a thinking block.
	"THINKER": {Text: []string{"let", " me", " see", "42"}, Control: marks, Template: chatml + "{% if add_generation_prompt %}<think>{% endif %}",
		Next: map[string]string{"<think>": "let", "let": " me", " me": " see", " see": "</think>", "</think>": "42", "\n": "42"}},
	// MARKED writes a control token in its answer.
	"MARKED": {Text: []string{"Hi", "you"}, Control: marks, Template: chatml, Next: map[string]string{"<|go|>": "Hi", "Hi": "<|im_start|>", "<|im_start|>": "you"}},
	// WORDY says a word of three tokens again and again.
	"WORDY": {Text: []string{"won", "der", "ful"}, Control: marks, Template: chatml, Context: 4096, Rows: 400,
		Next: map[string]string{"<|go|>": "won", "won": "der", "der": "ful", "ful": " ", " ": "won"}},
	// SEVEN writes digits without an end.
	"SEVEN": {Control: marks, Template: chatml, Next: map[string]string{"<|go|>": "7", "7": "7"}},
}

// writeScripted writes them into dir and returns their files by variable.
func writeScripted(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for name, m := range scriptedModels {
		files[name] = filepath.Join(t.TempDir(), name+".gguf")
		if err := m.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
