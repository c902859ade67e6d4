package model

import (
	"errors"
	"fmt"
	"os"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/format/weights"
)

// LoadOptions say what the loaded model is for.
type LoadOptions struct {
	// Train makes every weight a trainable Dense in float32 (master) that multiplies in Precision.
	Train     bool
	Precision tensor.Precision
	// LoRA freezes every weight as it is stored and trains a part of low rank beside it, which multiplies in Precision;
	// frozen F32 and F16 weights multiply in bf16 too where Precision is BFloat16. It excludes Train.
	LoRA *LoRAConfig
	// Adapter, if not empty, is the folder of a PEFT adapter, whose part stands beside the weights as they are stored; none
	// of it learns. It excludes Train and LoRA.
	Adapter string
	// Pool, if not nil, shares the work of repacking weights.
	Pool *par.Pool
}

// Load opens the model at path, a GGUF file or a folder with config.json and safetensors.
func Load(path string, opts LoadOptions) (*Model, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return loadFolder(path, opts)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := FromGGUF(f, opts)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.close = append(m.close, f.Close)
	return m, nil
}

// FromGGUF makes a model of an opened file, which stays open as long as the model and is not closed by it.
func FromGGUF(f *gguf.File, opts LoadOptions) (*Model, error) {
	c, err := ConfigFromGGUF(f)
	if err != nil {
		return nil, err
	}
	return Bind(c, weights.FromGGUF(f), opts)
}

// loader binds tensors and makes weights of them.
type loader struct {
	*weights.Binder
	opts   LoadOptions
	arena  *quant.Arena  // where repacked weights lie
	fresh  *randomSource // makes the tensors of a model that has none yet
	other  bool          // a matrix is stored in another type than F32
	params []Param
	lora   map[string][]*LoRA // by the stored tensor that they change
	back   *loraBack          // which they share

	adapter *adapter // that changes the weights, or nil
	frozen  []*LoRA  // its parts
}

// Tensor returns the tensor name of shape dims: from the source, or fresh.
func (l *loader) Tensor(name string, dims ...int) weights.Tensor {
	if l.fresh != nil {
		return l.fresh.make(name, dims)
	}
	return l.Binder.Tensor(name, dims...)
}

// Param is one stored tensor of a model: what an optimizer updates and a file is written from. At most one of Weight
// and Vector is set: the matrices of experts and of a LoRA are seen through Slices alone.
type Param struct {
	Name   string
	Dims   []int
	Weight *tensor.Dense
	Vector *tensor.Vector
	parts  []*tensor.Dense // the experts of one stored tensor
	factor *factor         // of a LoRA
	after  func()          // told by Changed, or nil
}

// check refuses purposes that exclude each other.
func (o *LoadOptions) check() error {
	switch {
	case o.Adapter != "" && (o.Train || o.LoRA != nil):
		return errors.New("model: an adapter is for answers and excludes training")
	case o.LoRA == nil:
		return nil
	case o.Train:
		return errors.New("model: LoRA trains a part of its own and excludes training every weight")
	}
	return o.LoRA.check()
}

// Bind makes a model of the tensors of src.
func Bind(c Config, src weights.Source, opts LoadOptions) (*Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	stored := src // as it is written again
	var ad *adapter
	if opts.Adapter != "" {
		var err error
		if ad, err = openAdapter(opts.Adapter, &c); err != nil {
			return nil, err
		}
		if stored, err = ad.merged(src, c); err != nil {
			return nil, err
		}
	}
	l := &loader{Binder: weights.NewBinder(src), opts: opts, arena: quant.NewArena(opts.Pool), lora: map[string][]*LoRA{}, back: new(loraBack), adapter: ad}
	l.fresh, _ = src.(*randomSource)
	l.Ignore(ropeFreqs)
	m := &Model{Config: c, close: []func() error{l.arena.Close}}
	m.Embed = l.weight("token_embd.weight", c.Vocab, c.Width)
	m.Norm = l.vector("output_norm.weight", c.Width)
	m.Head = m.Embed
	// A file that has a head of its own is taken at its word, whatever its configuration says.
	if c.Tied && l.fresh == nil && l.Has("output.weight") {
		c.Tied, m.Config.Tied = false, false
	}
	if !c.Tied {
		m.Head = l.weight("output.weight", c.Vocab, c.Width)
	}
	rope := op.NewRopeTable(c.Rope.frequencies(), c.Rope.Pairs, c.Rope.magnitude())
	for i := range c.Layers {
		m.Blocks = append(m.Blocks, l.block(c, i, rope))
	}
	m.params, m.Float32 = l.params, !l.other
	m.adapted, m.source, m.lora = l.lora, stored, opts.LoRA
	m.precision, m.frozen = opts.Precision, l.arena.Bytes()
	if err := l.Err(); err != nil {
		l.arena.Close()
		return nil, err
	}
	m.integers = packed(m.Blocks[0].out())
	if !opts.Train && opts.LoRA == nil {
		l.settle(m)
	}
	return m, nil
}

// settle packs at once what else the first pass would pack: nothing of a model that does not learn is written afterwards but
// the scratch of an adapter's LoRAs.
func (l *loader) settle(m *Model) {
	for _, b := range m.Blocks {
		if a, ok := b.Attention.(*MLA); ok {
			if out, _ := a.Up.W.Dims(); out > 0 { // 0 of headers alone
				a.Up.Pack()
			}
		}
	}
	if len(l.frozen) == 0 {
		return
	}
	pool := l.opts.Pool
	if pool == nil {
		pool = par.New(1)
		defer pool.Close()
	}
	run := tensor.NewRun(pool)
	for _, w := range l.frozen {
		w.a.packRows(run)
		w.b.packRows(run)
	}
}

func (l *loader) block(c Config, i int, rope *op.RopeTable) *Block {
	name := func(s string) string { return fmt.Sprintf("blk.%d.%s", i, s) }
	b := &Block{AttnNorm: l.vector(name("attn_norm.weight"), c.Width), FFNNorm: l.vector(name("ffn_norm.weight"), c.Width), eps: float32(c.Eps)}
	if c.MLA != nil {
		b.Attention = l.mla(c, i, name, rope)
	} else {
		b.Attention = l.gqa(c, i, name, rope)
	}
	if c.MoE != nil && i >= c.MoE.Dense {
		b.FFN = l.moe(c, name)
	} else {
		b.FFN = l.mlp(c, c.layer(i).FFN, name)
	}
	return b
}

func (l *loader) mlp(c Config, ffn int, name func(string) string) *MLP {
	m := &MLP{Gate: l.linear(name("ffn_gate.weight"), ffn, c.Width), Up: l.linear(name("ffn_up.weight"), ffn, c.Width), Down: l.linear(name("ffn_down.weight"), c.Width, ffn)}
	if c.MLPBias {
		m.GateB, m.UpB, m.DownB = l.vector(name("ffn_gate.bias"), ffn), l.vector(name("ffn_up.bias"), ffn), l.vector(name("ffn_down.bias"), c.Width)
	}
	return m
}

func (l *loader) gqa(c Config, i int, name func(string) string, rope *op.RopeTable) *GQA {
	shape := c.layer(i)
	q, kv := shape.Heads*c.HeadDim, shape.KVHeads*c.HeadDim
	a := &GQA{
		Q: l.linear(name("attn_q.weight"), q, c.Width), K: l.linear(name("attn_k.weight"), kv, c.Width), V: l.linear(name("attn_v.weight"), kv, c.Width),
		Out: l.linear(name("attn_output.weight"), c.Width, q), layer: i, rope: rope, eps: float32(c.Eps),
		heads: op.Heads{Query: shape.Heads, KV: shape.KVHeads, Key: c.HeadDim, Value: c.HeadDim, Scale: c.softmaxScale()},
	}
	if c.Bias {
		a.QB, a.KB, a.VB = l.vector(name("attn_q.bias"), q), l.vector(name("attn_k.bias"), kv), l.vector(name("attn_v.bias"), kv)
	}
	if c.OutBias {
		a.OutB = l.vector(name("attn_output.bias"), c.Width)
	}
	if c.QKNorm {
		a.QNorm, a.KNorm = l.vector(name("attn_q_norm.weight"), c.HeadDim), l.vector(name("attn_k_norm.weight"), c.HeadDim)
	}
	return a
}

func (l *loader) mla(c Config, i int, name func(string) string, rope *op.RopeTable) *MLA {
	m := c.MLA
	shape := op.Latent{Heads: c.Heads, Nope: m.Nope, Rope: m.Rope, Value: m.Value, Rank: m.KVRank, Scale: c.softmaxScale()}
	a := &MLA{
		KVA: l.linear(name("attn_kv_a_mqa.weight"), m.KVRank+m.Rope, c.Width), KNorm: l.vector(name("attn_kv_a_norm.weight"), m.KVRank),
		Out: l.linear(name("attn_output.weight"), c.Width, c.Heads*m.Value), layer: i, shape: shape, rope: rope, eps: float32(c.Eps),
	}
	q := c.Heads * (m.Nope + m.Rope)
	if m.QRank > 0 {
		a.QA, a.QNorm = l.linear(name("attn_q_a.weight"), m.QRank, c.Width), l.vector(name("attn_q_a_norm.weight"), m.QRank)
		a.QB = l.linear(name("attn_q_b.weight"), q, m.QRank)
	} else {
		a.QB = l.linear(name("attn_q.weight"), q, c.Width)
	}
	a.Up = op.NewLatentUp(l.latentUp(name, c.Heads, m), shape)
	l.onChange(a.Up.W, a.Up.Changed)
	return a
}

// latentUp returns [W^UK | W^UV] per head as one matrix. Newer files store the parts apart, W^UK transposed.
func (l *loader) latentUp(name func(string) string, heads int, m *MLAConfig) tensor.Weight {
	rows := heads * (m.Nope + m.Value)
	if l.Has(name("attn_kv_b.weight")) {
		t := l.Tensor(name("attn_kv_b.weight"), rows, m.KVRank)
		return l.adapt(t.Name, l.dense(t, rows, m.KVRank), t.Type, -1)
	}
	k, v := l.Tensor(name("attn_k_b.weight"), heads, m.KVRank, m.Nope), l.Tensor(name("attn_v_b.weight"), heads, m.Value, m.KVRank)
	if k.Data == nil || v.Data == nil {
		return tensor.NewDense(0, 0, nil, tensor.Float32)
	}
	kf, vf := k.Floats(), v.Floats()
	w := make([]float32, rows*m.KVRank)
	for h := range heads {
		dst := w[h*(m.Nope+m.Value)*m.KVRank:]
		for n := range m.Nope {
			for r := range m.KVRank {
				dst[n*m.KVRank+r] = kf[(h*m.KVRank+r)*m.Nope+n]
			}
		}
		copy(dst[m.Nope*m.KVRank:], vf[h*m.Value*m.KVRank:(h+1)*m.Value*m.KVRank])
	}
	return l.adapt(name("attn_kv_b.weight"), l.keep(name("attn_kv_b.weight"), tensor.NewDense(rows, m.KVRank, w, l.precision())), quant.F32, -1)
}

func (l *loader) moe(c Config, name func(string) string) *MoE {
	e := c.MoE
	m := &MoE{Router: l.weight(name("ffn_gate_inp.weight"), e.Experts, c.Width), gate: op.Gate{TopK: e.TopK, Groups: e.Groups, Keep: e.Keep,
		Sigmoid: e.Sigmoid, Normalize: e.Normalize, Scale: float32(e.Scale)}}
	if l.Has(name("exp_probs_b.bias")) {
		m.gate.Bias = l.vector(name("exp_probs_b.bias"), e.Experts).Data
	}
	gate := l.experts(name("ffn_gate_exps.weight"), e.Experts, e.FFN, c.Width)
	up := l.experts(name("ffn_up_exps.weight"), e.Experts, e.FFN, c.Width)
	down := l.experts(name("ffn_down_exps.weight"), e.Experts, c.Width, e.FFN)
	for i := range gate {
		m.Experts = append(m.Experts, op.Expert{Gate: gate[i], Up: up[i], Down: down[i]})
	}
	if e.Shared > 0 {
		f := e.Shared * e.FFN
		m.Shared = &MLP{Gate: l.linear(name("ffn_gate_shexp.weight"), f, c.Width), Up: l.linear(name("ffn_up_shexp.weight"), f, c.Width), Down: l.linear(name("ffn_down_shexp.weight"), c.Width, f)}
	}
	return m
}

// weight makes the weight [out, in] of the tensor name.
func (l *loader) weight(name string, out, in int) tensor.Weight {
	t := l.Tensor(name, out, in)
	if t.Data == nil {
		return nil
	}
	return l.make(t, t.Data, out, in)
}

// linear makes the weight [out, in] of the tensor name, with a LoRA if the model is loaded for that.
func (l *loader) linear(name string, out, in int) tensor.Weight {
	t := l.Tensor(name, out, in)
	if t.Data == nil {
		return nil
	}
	return l.adapt(name, l.make(t, t.Data, out, in), t.Type, -1)
}

// adapt wraps w, the stored tensor name or its expert number `expert`, in a LoRA if the model is loaded for that or with
// an adapter that changes it.
func (l *loader) adapt(name string, w tensor.Weight, stored quant.Type, expert int) tensor.Weight {
	if l.adapter != nil && w != nil {
		return l.adaptFrozen(w, changed{name, expert})
	}
	if l.opts.LoRA == nil || w == nil {
		return w
	}
	module, err := peftModule(name, expert)
	if err != nil {
		l.Fault(name, err)
		return w
	}
	lw := newLoRA(w, stored, l.opts.LoRA, module, l.opts.Precision, l.back)
	l.lora[name] = append(l.lora[name], lw)
	l.params = append(l.params, Param{Name: module + ".lora_A.weight", Dims: []int{lw.a.rows, lw.a.cols}, factor: &lw.a},
		Param{Name: module + ".lora_B.weight", Dims: []int{lw.b.rows, lw.b.cols}, factor: &lw.b})
	return lw
}

// adaptFrozen returns base, the matrix at of the model, as the adapter changes it, or base itself.
func (l *loader) adaptFrozen(base tensor.Weight, at changed) tensor.Weight {
	ch := l.adapter.changes[at]
	if ch == nil {
		return base
	}
	p := l.opts.Precision
	w := &LoRA{base: base, a: factor{data: ch.a, rows: ch.rank, cols: ch.in, precision: p}, b: factor{data: ch.b, rows: ch.out, cols: ch.rank, precision: p},
		scale: float32(ch.scale), precision: p, back: l.back}
	l.frozen = append(l.frozen, w)
	return w
}

// onChange has f told whenever values of w, the newest parameter, were written.
func (l *loader) onChange(w tensor.Weight, f func()) {
	switch w := w.(type) {
	case *LoRA:
		w.a.onChange, w.b.onChange = f, f
	case *tensor.Dense:
		if l.opts.Train && len(l.params) > 0 {
			l.params[len(l.params)-1].after = f
		}
	}
}

func (l *loader) make(t weights.Tensor, data []byte, out, in int) tensor.Weight {
	l.other = l.other || t.Type != quant.F32
	if l.opts.Train {
		return l.dense(t, out, in)
	}
	typ := t.Type
	if l.opts.LoRA != nil && l.opts.Precision == tensor.BFloat16 && wide(typ) && !(Param{Name: t.Name}).isRouter() {
		half, err := narrowed(typ, data)
		if err != nil {
			l.Fault(t.Name, err)
			return nil
		}
		typ, data = quant.BF16, half
	}
	w, err := l.arena.New(typ, data, out, in)
	if err != nil {
		l.Fault(t.Name, err)
	}
	return w
}

// dense decodes t into a Dense, trainable if the model is loaded for that.
func (l *loader) dense(t weights.Tensor, out, in int) *tensor.Dense {
	if t.Data == nil {
		return tensor.NewDense(0, 0, nil, tensor.Float32)
	}
	return l.keep(t.Name, tensor.NewDense(out, in, t.Floats(), l.precision()))
}

func (l *loader) precision() tensor.Precision {
	if l.opts.Train || l.opts.LoRA != nil {
		return l.opts.Precision
	}
	return tensor.Float32
}

// keep notes a dense weight as a parameter.
func (l *loader) keep(name string, w *tensor.Dense) *tensor.Dense {
	if l.opts.Train {
		w.Train()
		out, in := w.Dims()
		l.params = append(l.params, Param{Name: name, Dims: []int{out, in}, Weight: w})
	}
	return w
}

// experts makes one weight [out, in] of each slice of the tensor name, [n, out, in].
func (l *loader) experts(name string, n, out, in int) []tensor.Weight {
	t, ws := l.Tensor(name, n, out, in), make([]tensor.Weight, n)
	if t.Data == nil {
		return ws
	}
	if l.opts.Train {
		all, p := t.Floats(), Param{Name: name, Dims: []int{n, out, in}}
		for i := range ws {
			w := tensor.NewDense(out, in, all[i*out*in:(i+1)*out*in], l.opts.Precision)
			w.Train()
			p.parts = append(p.parts, w)
			ws[i] = w
		}
		l.params = append(l.params, p)
		return ws
	}
	size := len(t.Data) / n
	for i := range ws {
		data := t.Data[i*size : (i+1)*size]
		ws[i] = l.adapt(name, l.make(t, data, out, in), t.Type, i)
	}
	return ws
}

// vector makes the vector of the tensor name.
func (l *loader) vector(name string, n int) *tensor.Vector {
	t := l.Tensor(name, n)
	if t.Data == nil {
		return &tensor.Vector{}
	}
	v := &tensor.Vector{Data: t.Floats()}
	if l.opts.Train {
		v.Grad = make([]float32, n)
		l.params = append(l.params, Param{Name: name, Dims: []int{n}, Vector: v})
	}
	return v
}

// Params returns the trainable tensors in the order of the model.
func (m *Model) Params() []Param { return m.params }

// Slices calls f for each piece of p's values and gradients: one, or one an expert.
func (p Param) Slices(f func(data, grad []float32)) {
	switch {
	case p.Vector != nil:
		f(p.Vector.Data, p.Vector.Grad)
	case p.Weight != nil:
		f(p.Weight.Data, p.Weight.Grad)
	case p.factor != nil:
		f(p.factor.data, p.factor.grad)
	default:
		for _, w := range p.parts {
			f(w.Data, w.Grad)
		}
	}
}

// Changed says that the values of p were written.
func (p Param) Changed() {
	if p.Weight != nil {
		p.Weight.Changed()
	}
	for _, w := range p.parts {
		w.Changed()
	}
	if p.factor != nil {
		p.factor.changed()
	}
	if p.after != nil {
		p.after()
	}
}
