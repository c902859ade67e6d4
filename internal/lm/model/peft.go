package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"retort/internal/compute/kernel"
	"retort/internal/compute/quant"
	"retort/internal/format/atomicfile"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

// An adapter is a PEFT adapter as it lies in its folder: a change s·B·A of low rank for each of some stored matrices.
type adapter struct {
	dir     string
	changes map[changed]*change
}

// changed names a stored matrix: a tensor by GGUF's name, of which -1 or an expert's part.
type changed struct {
	name   string
	expert int
}

// change is s·B·A, with A [rank, in] and B [out, rank], whose rows are in the order of GGUF files.
type change struct {
	module        string // PEFT's name
	a, b          []float32
	rank, out, in int
	scale         float64
}

// The two files of an adapter.
const (
	AdapterConfigName  = "adapter_config.json"
	AdapterWeightsName = "adapter_model.safetensors"
)

// adapterRules are the keys of adapter_config.json that change what an adapter is, and the values with which it is a plain
// LoRA; any other is refused by the key's name. A key that is null, or an empty list or object, is not there.
// Source: PEFT, src/peft/tuners/lora/config.py; of the patterns src/peft/utils/other.py, get_pattern_key. The starts that are not listed (pissa, olora, corda, loftq) change the
// base too.
var adapterRules = map[string]neutral{
	"peft_type":               is("LORA"),
	"bias":                    is("none"),
	"lora_bias":               unset,
	"fan_in_fan_out":          unset,
	"use_dora":                unset,
	"use_qalora":              unset,
	"use_bdlora":              unset,
	"init_lora_weights":       is(true, false, "gaussian", "eva", "orthogonal"),
	"modules_to_save":         is(),
	"target_parameters":       is(),
	"trainable_token_indices": is(),
	"layer_replication":       is(),
	"alora_invocation_tokens": is(),
	"arrow_config":            is(),
}

// peftConfig is what else of adapter_config.json is read.
type peftConfig struct {
	Rank         int         `json:"r"`
	Alpha        float64     `json:"lora_alpha"`
	RSLoRA       bool        `json:"use_rslora"`
	RankPattern  peftPattern `json:"rank_pattern"`
	AlphaPattern peftPattern `json:"alpha_pattern"`
}

// openAdapter reads the adapter in the folder dir for a model of c.
func openAdapter(dir string, c *Config) (*adapter, error) {
	a, err := readAdapter(dir, c)
	if err != nil {
		return nil, fmt.Errorf("model: adapter %s: %w", dir, err)
	}
	return a, nil
}

func readAdapter(dir string, c *Config) (*adapter, error) {
	config, err := atomicfile.ReadFile(filepath.Join(dir, AdapterConfigName), maxConfigBytes)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Open(filepath.Join(dir, AdapterWeightsName))
	if errors.Is(err, os.ErrNotExist) {
		if _, pickled := os.Stat(filepath.Join(dir, "adapter_model.bin")); pickled == nil {
			return nil, errors.New("adapter_model.bin is pickled, and loading one means running it: convert it to safetensors")
		}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseAdapter(dir, config, f, c)
}

// parseAdapter reads an adapter of the content of its two files, of which it keeps nothing.
func parseAdapter(dir string, config []byte, f *safetensors.File, c *Config) (*adapter, error) {
	conf, err := parsePEFT(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", AdapterConfigName, err)
	}
	ad := &adapter{dir: dir, changes: map[changed]*change{}}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if module, ok := strings.CutSuffix(t.Name, ".lora_A.weight"); ok {
			err = ad.add(module, t, f.Tensor(module+".lora_B.weight"), conf, c)
		} else if module, ok := strings.CutSuffix(t.Name, ".lora_B.weight"); !ok {
			err = fmt.Errorf("%s is not of a plain LoRA", t.Name)
		} else if f.Tensor(module+".lora_A.weight") == nil {
			err = fmt.Errorf("%s is there without lora_A", t.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(ad.changes) == 0 {
		return nil, fmt.Errorf("%s has no tensor", AdapterWeightsName)
	}
	return ad, nil
}

func parsePEFT(b []byte) (*peftConfig, error) {
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	if all["peft_type"] == nil {
		return nil, errors.New("peft_type is missing, want LORA")
	}
	keys := make([]string, 0, len(adapterRules))
	for key := range adapterRules {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		v := all[key]
		if object, ok := v.(map[string]any); ok && len(object) == 0 {
			v = nil
		}
		if v != nil {
			if err := adapterRules[key].refuse(nil, key, v); err != nil {
				return nil, err
			}
		}
	}
	conf := &peftConfig{Rank: 8, Alpha: 8} // PEFT's own
	return conf, json.Unmarshal(b, conf)
}

// add takes over the pair of one module.
func (ad *adapter) add(module string, a, b *safetensors.Tensor, conf *peftConfig, c *Config) error {
	if b == nil {
		return fmt.Errorf("%s: lora_B is missing", module)
	}
	inner, ok := strings.CutPrefix(module, "base_model.model.")
	if !ok {
		return fmt.Errorf("%s does not begin with base_model.model", module)
	}
	name, expert, ok := matrixOf(inner)
	if !ok {
		return fmt.Errorf("%s is not a linear map of a block: LoRA of it is not supported", module)
	}
	rank, alpha := conf.RankPattern.find(inner, float64(conf.Rank)), conf.AlphaPattern.find(inner, conf.Alpha)
	if rank != math.Trunc(rank) || rank < 1 || rank > maxRank {
		return fmt.Errorf("%s: rank %g, want 1 to %d", module, rank, maxRank)
	}
	if !(math.Abs(alpha) <= 1e6) {
		return fmt.Errorf("%s: lora_alpha %g, want -1e6 to 1e6", module, alpha)
	}
	if len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[0] != int(rank) || b.Shape[1] != int(rank) {
		return fmt.Errorf("%s: lora_A of shape %v and lora_B of %v, want a rank of %g", module, a.Shape, b.Shape, rank)
	}
	ch := &change{module: module, rank: int(rank), out: b.Shape[0], in: a.Shape[1], scale: alpha / rank}
	if conf.RSLoRA {
		ch.scale = alpha / math.Sqrt(rank)
	}
	var err error
	if ch.a, err = floatsOf(a); err == nil {
		ch.b, err = floatsOf(b)
	}
	if err != nil {
		return err
	}
	if weights.Turns(name) {
		ch.b = c.permuted(ch.b, ch.rank)
	}
	at := changed{name, expert}
	if other := ad.changes[at]; other != nil {
		return fmt.Errorf("%s and %s change the same matrix", other.module, module)
	}
	ad.changes[at] = ch
	return nil
}

// trunks are what the names of a base's modules begin with: see weights.FromSafetensors.
var trunks = []string{"model.language_model.", "language_model.model.", "model.", ""}

// matrixOf returns GGUF's name of the matrix of a module of a block, and the number of the expert or -1.
func matrixOf(module string) (name string, expert int, ok bool) {
	for _, trunk := range trunks {
		if rest, found := strings.CutPrefix(module, trunk); found {
			name, expert, ok = weights.GGUFName("model." + rest + ".weight")
			break
		}
	}
	if strings.HasSuffix(name, "norm.weight") || strings.HasSuffix(name, "ffn_gate_inp.weight") {
		return "", 0, false
	}
	return name, expert, ok && strings.HasPrefix(name, "blk.")
}

func floatsOf(t *safetensors.Tensor) ([]float32, error) {
	typ, ok := map[safetensors.DType]quant.Type{safetensors.F32: quant.F32, safetensors.F16: quant.F16, safetensors.BF16: quant.BF16}[t.DType]
	if !ok {
		return nil, fmt.Errorf("%s: dtype %s cannot be read, want F32, F16 or BF16", t.Name, t.DType)
	}
	v := make([]float32, t.Elements())
	quant.Decode(typ, v, t.Data())
	for _, x := range v {
		if x-x != 0 {
			return nil, fmt.Errorf("%s has a value that is not finite", t.Name)
		}
	}
	return v, nil
}

// permuted returns rows of n values, of queries or keys as Hugging Face orders them, as GGUF files do: the way back from
// Model.unpermuted. Rows that are no whole heads are given back as they are: the shape is refused elsewhere.
func (c *Config) permuted(rows []float32, n int) []float32 {
	if c.Arch != "llama" || !c.Rope.Pairs || len(rows)%(n*c.HeadDim) != 0 {
		return rows
	}
	out, half := slices.Clone(rows), c.Rope.Dim/2
	for h := 0; h < len(rows)/n; h += c.HeadDim {
		for i := range half {
			for j := range 2 {
				copy(out[(h+2*i+j)*n:][:n], rows[(h+j*half+i)*n:])
			}
		}
	}
	return out
}

// peftPattern is rank_pattern or alpha_pattern: regular expressions for the ends of modules' names, in the file's order.
type peftPattern []struct {
	key   *regexp.Regexp
	value float64
}

const maxPatterns = 1 << 12

// UnmarshalJSON keeps the order, since the first key that fits counts.
func (p *peftPattern) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	start, err := d.Token()
	if err != nil || start == nil {
		return err
	}
	if start != json.Delim('{') {
		return fmt.Errorf("a pattern is %v, want an object", start)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var v float64
		if err := d.Decode(&v); err != nil {
			return err
		}
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + key.(string) + `)$`)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", key, err)
		}
		if len(*p) == maxPatterns {
			return fmt.Errorf("more than %d patterns", maxPatterns)
		}
		*p = append(*p, struct {
			key   *regexp.Regexp
			value float64
		}{re, v})
	}
	return nil
}

// find returns the value of the first key that fits module, or def.
func (p peftPattern) find(module string, def float64) float64 {
	for _, x := range p {
		if x.key.MatchString(module) {
			return x.value
		}
	}
	return def
}

// addRow adds row `row` of s·B·A to dst.
func (ch *change) addRow(dst []float32, row int) {
	for i, b := range ch.b[row*ch.rank : (row+1)*ch.rank] {
		kernel.Axpy(float32(ch.scale)*b, ch.a[i*ch.in:(i+1)*ch.in], dst[:ch.in])
	}
}
