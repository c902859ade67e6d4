package model

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

var (
	adapterBase   = filepath.Join("testdata", "np_bias")
	publishedLoRA = filepath.Join("testdata", "np_adapter")
)

// TestAdapterAsPEFT: a folder with an adapter as PEFT writes them, with patterns of ranks and alphas, says what numpy
// computed of W + s·B·A; written as a file it is that model; and merged into the tensors too.
func TestAdapterAsPEFT(t *testing.T) {
	ctx := context.Background()
	want := goldenLogits(t, filepath.Join(publishedLoRA, "logits.safetensors"))
	m := mustLoad(t, adapterBase, LoadOptions{Adapter: publishedLoRA})
	got := logitsOf(t, m)
	close64(t, "beside the base", got, want)
	if len(m.Params()) != 0 {
		t.Errorf("%d tensors of an adapter learn", len(m.Params()))
	}
	base := logitsOf(t, mustLoad(t, adapterBase, LoadOptions{}))
	if d := math.Abs(float64(base[0] - got[0])); d < 0.01 {
		t.Errorf("the adapter changes a logit by %g: the golden file shows nothing", d)
	}

	folder, path := filepath.Join(t.TempDir(), "merged"), filepath.Join(t.TempDir(), "merged.gguf")
	if err := m.WriteSafetensors(ctx, folder, quant.F32); err != nil {
		t.Fatal(err)
	}
	close64(t, "merged in a folder", logitsOf(t, mustLoad(t, folder, LoadOptions{})), want)
	if err := m.WriteGGUF(ctx, path, m.Config.Metadata("x"), quant.F32); err != nil {
		t.Fatal(err)
	}
	close64(t, "merged in a file", logitsOf(t, mustLoad(t, path, LoadOptions{})), want)

	// The GGUF file of the base holds llama's rows in another order.
	plain := filepath.Join(t.TempDir(), "base.gguf")
	if err := mustLoad(t, adapterBase, LoadOptions{}).WriteGGUF(ctx, plain, m.Config.Metadata("x"), quant.F32); err != nil {
		t.Fatal(err)
	}
	close64(t, "beside the base's GGUF file", logitsOf(t, mustLoad(t, plain, LoadOptions{Adapter: publishedLoRA})), want)
}

// TestAdapterRoundTrip: an adapter that we wrote gives, beside the base it was trained on, the bits of the trained model,
// and merged into its tensors the same model.
func TestAdapterRoundTrip(t *testing.T) {
	for name, c := range everyShape() {
		for _, typ := range []quant.Type{quant.F32, quant.BF16, quant.Q8_0} {
			if typ == quant.Q8_0 {
				c.Width, c.FFN = 32, 32
			}
			trained, path, dir := trainedAdapter(t, c, typ)
			want := logitsOf(t, trained)
			m := mustLoad(t, path, LoadOptions{Adapter: dir})
			what := name + " in " + typ.String()
			equal(t, what+", beside the base", logitsOf(t, m), want)
			if m.Float32 != (typ == quant.F32) {
				t.Errorf("%s: in float32: %v", what, m.Float32)
			}

			plain := mustLoad(t, path, LoadOptions{})
			if same := logitsOf(t, plain); same[0] == want[0] {
				t.Errorf("%s: the adapter changes nothing", what)
			}
			src, err := MergeAdapter(plain.source, plain.Config, dir)
			if err != nil {
				t.Fatal(err)
			}
			holdsMerged(t, what, src, plain.source, trained)
			merged, err := Bind(plain.Config, src, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if typ == quant.F32 {
				near(t, what+", merged", logitsOf(t, merged), want)
			}
			merged.Close()
		}
	}
}

// holdsMerged compares the tensors of src, an adapter merged into base, with those of the trained model.
func holdsMerged(t *testing.T, what string, src, base weights.Source, trained *Model) {
	t.Helper()
	changed := 0
	for _, name := range src.Names() {
		stored, _ := base.Tensor(name)
		head, _ := weights.Describe(src, name)
		got, ok := src.Tensor(name)
		if !ok || got.Check() != nil || head.Type != got.Type {
			t.Fatalf("%s: %s is %v, described as %v (%v)", what, name, got.Type, head.Type, got.Check())
		}
		row, touched := trained.mergedRows(stored)
		if !touched {
			if string(got.Data) != string(stored.Data) || got.Type != stored.Type {
				t.Errorf("%s: %s is not as stored", what, name)
			}
			continue
		}
		changed++
		if want := mergedAs(stored.Type); got.Type != want {
			t.Errorf("%s: %s is given as %v, want %v", what, name, got.Type, want)
		}
		values, n := got.Floats(), got.Dims[len(got.Dims)-1]
		line := make([]float32, n)
		for i := range len(values) / n {
			row(line, i)
			for j, v := range line {
				if d := math.Abs(float64(v - values[i*n+j])); d > math.Abs(float64(v))/200+1e-5 {
					t.Fatalf("%s: %s[%d, %d] is %v, want %v", what, name, i, j, values[i*n+j], v)
				}
			}
		}
	}
	if changed == 0 {
		t.Errorf("%s: nothing is changed", what)
	}
}

// trainedAdapter writes a base of shape c as typ, and an adapter of it whose values are random, and returns the model that
// the adapter is of.
func trainedAdapter(t *testing.T, c Config, typ quant.Type) (m *Model, base, dir string) {
	t.Helper()
	base, dir = filepath.Join(t.TempDir(), "base.gguf"), filepath.Join(t.TempDir(), "adapter")
	if err := lively(t, c, 21).WriteGGUF(context.Background(), base, c.Metadata("x"), typ); err != nil {
		t.Fatal(err)
	}
	m = mustLoad(t, base, LoadOptions{LoRA: &LoRAConfig{Rank: 3, Alpha: 6, Seed: 5}})
	rng := rand.New(rand.NewPCG(3, 4))
	for _, p := range m.Params() {
		p.Slices(func(v, _ []float32) {
			for i := range v {
				v[i] = float32(rng.NormFloat64() * 0.2)
			}
		})
		p.Changed()
	}
	if err := m.WriteAdapter(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	return m, base, dir
}

// TestAdapterOfSplitLatent: a file that stores W^UK and W^UV apart takes the adapter of kv_b_proj, and has it merged into both.
func TestAdapterOfSplitLatent(t *testing.T) {
	c := tinyDeepSeek()
	trained, path, dir := trainedAdapter(t, c, quant.F32)
	whole := mustLoad(t, path, LoadOptions{})
	split := memory{}
	for _, name := range whole.source.Names() {
		x, _ := whole.source.Tensor(name)
		split[name] = x
	}
	splitLatent(split, c)
	m, err := Bind(c, split, LoadOptions{Adapter: dir})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "split", logitsOf(t, m), logitsOf(t, trained))
	src, err := MergeAdapter(split, c, dir)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := Bind(c, src, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "split and merged", logitsOf(t, merged), logitsOf(t, trained))
}

// splitLatent replaces attn_kv_b by the parts in which newer files store it.
func splitLatent(src memory, c Config) {
	a := c.MLA
	for _, name := range src.Names() {
		block, ok := strings.CutSuffix(name, "attn_kv_b.weight")
		if !ok {
			continue
		}
		all := src[name].Floats()
		var k, v []float32
		for h := range c.Heads {
			w := all[h*(a.Nope+a.Value)*a.KVRank:]
			for r := range a.KVRank {
				for n := range a.Nope {
					k = append(k, w[n*a.KVRank+r])
				}
			}
			v = append(v, w[a.Nope*a.KVRank:(a.Nope+a.Value)*a.KVRank]...)
		}
		delete(src, name)
		src[block+latentKeys] = weights.Tensor{Name: block + latentKeys, Type: quant.F32, Dims: []int{c.Heads, a.KVRank, a.Nope}, Data: bytesOf(k)}
		src[block+latentValues] = weights.Tensor{Name: block + latentValues, Type: quant.F32, Dims: []int{c.Heads, a.Value, a.KVRank}, Data: bytesOf(v)}
	}
}

// TestAdapterRefusals: what is no plain LoRA of this model is refused by its name.
func TestAdapterRefusals(t *testing.T) {
	const q = "base_model.model.model.layers.0.self_attn.q_proj"
	rename := func(from, to string) func([]safetensors.Source, *safetensors.File) []safetensors.Source {
		return func(s []safetensors.Source, _ *safetensors.File) []safetensors.Source {
			for i := range s {
				s[i].Name = strings.Replace(s[i].Name, from, to, 1)
			}
			return s
		}
	}
	for _, x := range []struct {
		what, old, new string
		edit           func([]safetensors.Source, *safetensors.File) []safetensors.Source
		fault          string
	}{
		{"as it is", "", "", nil, ""},
		{"gaussian start", `"init_lora_weights": true`, `"init_lora_weights": "gaussian"`, nil, ""},
		{"another method", `"LORA"`, `"IA3"`, nil, `peft_type is "IA3", which is not supported: want LORA`},
		{"no method", `"peft_type": "LORA",`, ``, nil, "peft_type is missing"},
		{"DoRA", `"use_dora": false`, `"use_dora": true`, nil, "use_dora is true"},
		{"DoRA's tensors", "", "", func(s []safetensors.Source, f *safetensors.File) []safetensors.Source {
			twin := sourceOf(f.Tensor(q + ".lora_A.weight"))
			twin.Name = q + ".lora_magnitude_vector.weight"
			return append(s, twin)
		}, "lora_magnitude_vector.weight is not of a plain LoRA"},
		{"other modules", `"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, nil, "modules_to_save is [lm_head]"},
		{"no other modules", `"modules_to_save": null`, `"modules_to_save": []`, nil, ""},
		{"turned", `"fan_in_fan_out": false`, `"fan_in_fan_out": true`, nil, "fan_in_fan_out is true"},
		{"biases", `"bias": "none"`, `"bias": "lora_only"`, nil, `bias is "lora_only"`},
		{"bias of B", `"lora_bias": false`, `"lora_bias": true`, nil, "lora_bias is true"},
		{"a start that changes the base", `"init_lora_weights": true`, `"init_lora_weights": "pissa_niter_16"`, nil, `init_lora_weights is "pissa_niter_16"`},
		{"experts as parameters", `"peft_type"`, `"target_parameters": ["mlp.experts.gate_up_proj"], "peft_type"`, nil, "target_parameters is"},
		{"tokens", `"peft_type"`, `"trainable_token_indices": {"embed_tokens": [1]}, "peft_type"`, nil, "trainable_token_indices is"},
		{"empty objects", `"peft_type"`, `"trainable_token_indices": {}, "peft_type"`, nil, ""},
		{"layers twice", `"peft_type"`, `"layer_replication": [[0, 1], [0, 2]], "peft_type"`, nil, "layer_replication is"},
		{"NaN", "", "", func(s []safetensors.Source, _ *safetensors.File) []safetensors.Source {
			for i := range s {
				if s[i].Name == q+".lora_A.weight" {
					values := make([]float32, s[i].Shape[0]*s[i].Shape[1])
					values[5] = float32(math.NaN())
					s[i].Write = func(w io.Writer) error { _, err := w.Write(bytesOf(values)); return err }
				}
			}
			return s
		}, q + ".lora_A.weight has a value that is not finite"},
		{"another rank", `"r": 3`, `"r": 4`, nil, "want a rank of 4"},
		{"rank of none", `"q_proj": 2`, `"q_proj": 0`, nil, "rank 0, want 1 to 4096"},
		{"rank between", `"q_proj": 2`, `"q_proj": 1.5`, nil, "rank 1.5, want 1 to 4096"},
		{"alpha", `"lora_alpha": 4`, `"lora_alpha": 1e7`, nil, "lora_alpha 1e+07"},
		{"a pattern", `"q_proj": 2`, `"q_proj(": 2`, nil, "missing closing )"},
		{"a pattern of text", `"q_proj": 2`, `"q_proj": "2"`, nil, "cannot unmarshal string"},
		{"no JSON", `"r": 3`, `"r" 3`, nil, "adapter_config.json: invalid character"},
		{"no B", "", "", without(q + ".lora_B.weight"), q + ": lora_B is missing"},
		{"no A", "", "", without(q + ".lora_A.weight"), q + ".lora_B.weight is there without lora_A"},
		{"embedding", "", "", rename("layers.0.self_attn.q_proj", "embed_tokens"), "embed_tokens is not a linear map of a block"},
		{"head", "", "", rename("model.layers.0.self_attn.q_proj", "lm_head"), "lm_head is not a linear map of a block"},
		{"norm", "", "", rename("layers.0.self_attn.q_proj", "layers.0.input_layernorm"), "input_layernorm is not a linear map"},
		{"router", "", "", rename("layers.0.self_attn.q_proj", "layers.0.mlp.gate"), "mlp.gate is not a linear map"},
		{"vision", "", "", rename("model.layers.0.self_attn.q_proj", "vision_tower.layers.0.self_attn.q_proj"), "vision_tower.layers.0.self_attn.q_proj is not a linear map"},
		{"other name", "", "", rename("base_model.model.", "model."), "does not begin with base_model.model"},
		{"a layer too many", "", "", rename("layers.0.self_attn.v_proj", "layers.2.self_attn.v_proj"), "layers.2.self_attn.v_proj: the model has no such matrix"},
		{"another shape", "", "", rename("layers.0.self_attn.v_proj", "layers.1.self_attn.o_proj"), "o_proj: changes a matrix [8, 16], blk.1.attn_output.weight is [16 16]"},
		{"twice", "", "", rename("model.layers.0.self_attn.v_proj", "layers.0.self_attn.k_proj"), "change the same matrix"},
	} {
		dir := adapterCopy(t, x.old, x.new, x.edit)
		m, err := Load(adapterBase, LoadOptions{Adapter: dir})
		if err == nil {
			m.Close()
		}
		if (err == nil) != (x.fault == "") || err != nil && (!strings.Contains(err.Error(), x.fault) || !strings.Contains(err.Error(), "adapter "+dir)) {
			t.Errorf("%s: %v, want %q", x.what, err, x.fault)
		}
	}
	for what, opts := range map[string]LoadOptions{"train": {Train: true, Adapter: publishedLoRA}, "lora": {LoRA: &LoRAConfig{Rank: 1, Alpha: 1}, Adapter: publishedLoRA}} {
		if _, err := Load(adapterBase, opts); err == nil || !strings.Contains(err.Error(), "excludes training") {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := adapterCopy(t, "", "", nil)
	if err := os.Rename(filepath.Join(dir, AdapterWeightsName), filepath.Join(dir, "adapter_model.bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(adapterBase, LoadOptions{Adapter: dir}); err == nil || !strings.Contains(err.Error(), "pickled") {
		t.Errorf("pickled: %v", err)
	}
	if _, err := Load(adapterBase, LoadOptions{Adapter: t.TempDir()}); err == nil || !strings.Contains(err.Error(), AdapterConfigName) {
		t.Errorf("empty folder: %v", err)
	}
}

// adapterCopy copies the golden adapter with a change of its configuration and of its tensors.
func adapterCopy(t *testing.T, old, new string, edit func([]safetensors.Source, *safetensors.File) []safetensors.Source) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(publishedLoRA, AdapterConfigName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("the adapter has no %s", old)
	}
	if err := os.WriteFile(filepath.Join(dir, AdapterConfigName), []byte(strings.Replace(string(b), old, new, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(publishedLoRA, AdapterWeightsName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sources []safetensors.Source
	for i := range f.Tensors {
		sources = append(sources, sourceOf(&f.Tensors[i]))
	}
	if edit != nil {
		sources = edit(sources, f)
	}
	if err := safetensors.WriteFile(context.Background(), filepath.Join(dir, AdapterWeightsName), nil, sources); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPEFTPatterns: the first key that is the end of a module's name counts, a whole name from ^ on too.
func TestPEFTPatterns(t *testing.T) {
	var p peftPattern
	if err := json.Unmarshal([]byte(`{"^model.layers.0.mlp.up_proj": 1, "up_proj": 2, "layers.1.mlp.*": 3, "proj|gate": 4}`), &p); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]float64{"model.layers.0.mlp.up_proj": 1, "model.layers.1.mlp.up_proj": 2, "model.layers.1.mlp.down_proj": 3, "mlp.gate": 4,
		"x.model.layers.0.mlp.up_proj": 2, "model.layers.0.mlp.my_up_proj": 9, "layers.11.mlp.down_proj": 9} {
		if got := p.find(module, 9); got != want {
			t.Errorf("%s: %g, want %g", module, got, want)
		}
	}
	if err := json.Unmarshal([]byte("null"), &p); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal([]byte(`[1]`), &p); err == nil {
		t.Error("an array is read as a pattern")
	}
}

// FuzzAdapter: an adapter is refused, or changes a model that answers.
func FuzzAdapter(f *testing.F) {
	config, err1 := os.ReadFile(filepath.Join(publishedLoRA, AdapterConfigName))
	values, err2 := os.ReadFile(filepath.Join(publishedLoRA, AdapterWeightsName))
	base, err3 := Load(adapterBase, LoadOptions{})
	if err1 != nil || err2 != nil || err3 != nil {
		f.Fatal(err1, err2, err3)
	}
	f.Add(config, values)
	f.Add([]byte(`{"peft_type":"LORA","r":1,"rank_pattern":null,"alpha_pattern":{"a|b":1e300}}`), values)
	f.Fuzz(func(t *testing.T, config, values []byte) {
		file, err := safetensors.Parse("fuzz", values)
		if err != nil {
			return
		}
		ad, err := parseAdapter("fuzz", config, file, &base.Config)
		if err != nil {
			return
		}
		src, err := ad.merged(base.source, base.Config)
		if err != nil {
			return
		}
		m, err := Bind(base.Config, src, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		logitsOf(t, m)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
