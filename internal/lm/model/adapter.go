package model

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"retort/internal/format/atomicfile"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

// peftModule returns how PEFT names the module of the stored tensor name; expert counts where a tensor holds many.
func peftModule(name string, expert int) (string, error) {
	hf, ok := weights.HuggingFaceName(name, expert)
	if !ok {
		return "", fmt.Errorf("model: %q has no name in PEFT", name)
	}
	return "base_model.model." + strings.TrimSuffix(hf, ".weight"), nil
}

// adapterConfig is PEFT's adapter_config.json. Fields that are null there are left out here.
type adapterConfig struct {
	PeftType      string   `json:"peft_type"`
	TaskType      string   `json:"task_type"`
	Base          string   `json:"base_model_name_or_path"`
	Rank          int      `json:"r"`
	Alpha         float64  `json:"lora_alpha"`
	Dropout       float64  `json:"lora_dropout"`
	TargetModules []string `json:"target_modules"`
	Bias          string   `json:"bias"`
	InferenceMode bool     `json:"inference_mode"`
	InitWeights   bool     `json:"init_lora_weights"`
	FanInFanOut   bool     `json:"fan_in_fan_out"`
	RSLoRA        bool     `json:"use_rslora"`
	DoRA          bool     `json:"use_dora"`
}

// WriteAdapter writes the LoRAs of m as a PEFT adapter into the folder dir, which is made if need be:
// adapter_model.safetensors, in float32, then adapter_config.json. Neither is there half.
func (m *Model) WriteAdapter(ctx context.Context, dir string) error {
	if m.lora == nil {
		return errors.New("model: there is no LoRA to write an adapter of")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	c := adapterConfig{PeftType: "LORA", TaskType: "CAUSAL_LM", Rank: m.lora.Rank, Alpha: m.lora.Alpha, Bias: "none", InferenceMode: true, InitWeights: true}
	var tensors []safetensors.Source
	for _, p := range m.params {
		module, _, _ := strings.Cut(p.Name, ".lora_")
		if last := module[strings.LastIndexByte(module, '.')+1:]; !slices.Contains(c.TargetModules, last) {
			c.TargetModules = append(c.TargetModules, last)
		}
		values := p.factor.data
		if strings.HasSuffix(p.Name, "lora_B.weight") {
			values = m.unpermuted(module, values, p.Dims[1])
		}
		tensors = append(tensors, safetensors.Source{Name: p.Name, DType: safetensors.F32, Shape: p.Dims, Write: func(w io.Writer) error {
			return binary.Write(w, binary.LittleEndian, values)
		}})
	}
	slices.Sort(c.TargetModules)
	if err := safetensors.WriteFile(ctx, filepath.Join(dir, AdapterWeightsName), map[string]string{"format": "pt"}, tensors); err != nil {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, AdapterConfigName), append(b, '\n'))
}

// unpermuted returns the rows of a query or key projection, each of n values, as Hugging Face orders them. GGUF files
// of llama hold the values of a head that turn together as neighbours (2i, 2i+1), Hugging Face (i, i + d/2).
func (m *Model) unpermuted(module string, rows []float32, n int) []float32 {
	c := m.Config
	if c.Arch != "llama" || !c.Rope.Pairs || !strings.HasSuffix(module, ".q_proj") && !strings.HasSuffix(module, ".k_proj") {
		return rows
	}
	out, half := make([]float32, len(rows)), c.Rope.Dim/2
	copy(out, rows)
	for h := 0; h < len(rows)/n; h += c.HeadDim {
		for i := range half {
			for j := range 2 {
				copy(out[(h+j*half+i)*n:][:n], rows[(h+2*i+j)*n:][:n])
			}
		}
	}
	return out
}
