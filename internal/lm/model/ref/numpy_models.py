# What models and adapters say whose forms transformers' own small models do not have, computed with numpy in float64 by the
# formulas of the papers, a head and a position at a time.
#
#     python3 numpy_models.py ../testdata      (pip: numpy, safetensors, gguf)
#
# First the script holds itself to what transformers said of hf_llama, hf_llama_linear and hf_qwen2 (hf_models.py). Then it
# writes folders np_NAME with config.json, model.safetensors and logits.safetensors (the logits [T, V] of TOKENS as one
# sequence), np_layers.gguf with its logits, and np_adapter: an adapter of np_bias as PEFT writes them
# (save_pretrained: names, keys in order, float32), with the logits of W + scale * B @ A.
import json, math, os, re, sys
import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import load_file, save_file

TOKENS = [3, 30, 7, 11, 3, 25, 9, 1, 36, 7, 2, 14]


def frequencies(c, dim):
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    theta = rope.get("rope_theta", c.get("rope_theta", 10000.0))
    f = theta ** (-np.arange(0, dim, 2) / dim)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "linear":
        return f / rope["factor"], 1.0
    if kind == "yarn":
        def turns(beta):
            return dim * math.log(rope["original_max_position_embeddings"] / (beta * 2 * math.pi)) / (2 * math.log(theta))
        low, high = turns(rope["beta_fast"]), turns(rope["beta_slow"])
        if rope.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
        return f / rope["factor"] * ramp + f * (1 - ramp), 0.1 * math.log(rope["factor"]) + 1
    return f, 1.0


def forward(c, w, heads=None, kv=None):
    """Logits of TOKENS. w has transformers' usual names; heads and kv are numbers a layer."""
    w = {k: v.astype(np.float64) for k, v in w.items()}
    n, width, eps = c["num_hidden_layers"], c["hidden_size"], c["rms_norm_eps"]
    heads, kv = heads or [c["num_attention_heads"]] * n, kv or [c["num_key_value_heads"]] * n
    d = c.get("head_dim") or width // c["num_attention_heads"]
    f, magnitude = frequencies(c, d)

    def norm(x, g):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g

    def linear(x, name):
        return x @ w[name + ".weight"].T + w.get(name + ".bias", 0)

    def turn(x, pos):
        a = pos * f
        cos, sin = np.cos(np.r_[a, a]) * magnitude, np.sin(np.r_[a, a]) * magnitude
        return x * cos + np.r_[-x[d // 2:], x[:d // 2]] * sin

    x = w["model.embed_tokens.weight"][TOKENS]
    for i in range(n):
        p = f"model.layers.{i}."
        y = norm(x, w[p + "input_layernorm.weight"])
        q, k, v = (linear(y, p + f"self_attn.{m}_proj").reshape(len(TOKENS), -1, d) for m in "qkv")
        if p + "self_attn.q_norm.weight" in w:
            q, k = norm(q, w[p + "self_attn.q_norm.weight"]), norm(k, w[p + "self_attn.k_norm.weight"])
        out = np.zeros((len(TOKENS), heads[i], d))
        for t in range(len(TOKENS)):
            for h in range(heads[i]):
                g = h // (heads[i] // kv[i])
                s = np.array([turn(q[t, h], t) @ turn(k[u, g], u) / math.sqrt(d) for u in range(t + 1)])
                s = np.exp(s - s.max())
                out[t, h] = (s / s.sum()) @ v[:t + 1, g]
        x = x + linear(out.reshape(len(TOKENS), -1), p + "self_attn.o_proj")
        y = norm(x, w[p + "post_attention_layernorm.weight"])
        gate = linear(y, p + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(y, p + "mlp.up_proj"), p + "mlp.down_proj")
    return norm(x, w["model.norm.weight"]) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def random_weights(c, seed, heads=None, kv=None, ffn=None, head=False):
    r = np.random.default_rng(seed)
    n, width, v = c["num_hidden_layers"], c["hidden_size"], c["vocab_size"]
    heads, kv, ffn = heads or [c["num_attention_heads"]] * n, kv or [c["num_key_value_heads"]] * n, ffn or [c["intermediate_size"]] * n
    d = c.get("head_dim") or width // c["num_attention_heads"]
    m = lambda *s: (r.standard_normal(s) / s[-1] ** 0.5).astype(np.float32)
    g = lambda *s: (1 + 0.2 * r.standard_normal(s)).astype(np.float32)
    b = lambda *s: (0.3 * r.standard_normal(s)).astype(np.float32)
    w = {"model.embed_tokens.weight": 3 * m(v, width), "model.norm.weight": g(width)}
    for i in range(n):
        p = f"model.layers.{i}."
        shapes = {"self_attn.q_proj": (heads[i] * d, width), "self_attn.k_proj": (kv[i] * d, width), "self_attn.v_proj": (kv[i] * d, width), "self_attn.o_proj": (width, heads[i] * d),
                  "mlp.gate_proj": (ffn[i], width), "mlp.up_proj": (ffn[i], width), "mlp.down_proj": (width, ffn[i])}
        for name, s in shapes.items():
            w[p + name + ".weight"] = m(*s)
            if c.get("attention_bias") and "self_attn" in name or c.get("mlp_bias") and "mlp" in name:
                w[p + name + ".bias"] = b(s[0])
        w[p + "input_layernorm.weight"], w[p + "post_attention_layernorm.weight"] = g(width), g(width)
        if c["model_type"] == "qwen3":
            w[p + "self_attn.q_norm.weight"], w[p + "self_attn.k_norm.weight"] = g(d), g(d)
    if head:
        w["lm_head.weight"] = 3 * m(v, width)
    return w


def config(kind="llama", **more):
    return dict(model_type=kind, architectures=[kind.capitalize() + "ForCausalLM"], vocab_size=37, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, head_dim=4, max_position_embeddings=64, hidden_act="silu", rms_norm_eps=1e-5, rope_theta=500.0, **more)


def save_logits(folder, x, name="logits.safetensors"):
    save_file({"logits": x.astype(np.float32)}, os.path.join(folder, name), {"made_by": "ref/numpy_models.py"})


def folder(out, name, c, w, rename=lambda s: s):
    d = os.path.join(out, "np_" + name)
    os.makedirs(d, exist_ok=True)
    json.dump(c, open(os.path.join(d, "config.json"), "w"), indent=1)
    save_file({rename(k): v for k, v in w.items()}, os.path.join(d, "model.safetensors"), {"format": "pt"})
    save_logits(d, forward(c, w))
    return d


def permute(w, heads):
    """As llama.cpp's converter orders the rows of llama's queries and keys."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def layers_gguf(out):
    heads, kv, ffn = [4, 2, 4], [2, 1, 4], [20, 12, 16]
    c = config(tie_word_embeddings=True, attention_bias=False)
    c["num_hidden_layers"] = 3
    w = random_weights(c, 5, heads, kv, ffn)
    g = GGUFWriter(os.path.join(out, "np_layers.gguf"), "llama")
    g.add_context_length(64), g.add_embedding_length(16), g.add_block_count(3), g.add_feed_forward_length(ffn)
    g.add_head_count(heads), g.add_head_count_kv(kv), g.add_key_length(4), g.add_value_length(4), g.add_layer_norm_rms_eps(1e-5), g.add_rope_freq_base(500.0), g.add_rope_dimension_count(4)
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for k, v in w.items():
        k = k.replace("model.embed_tokens", "token_embd").replace("model.norm", "output_norm").replace("model.layers", "blk")
        for a, b in names.items():
            k = k.replace(a, b)
        if "attn_q" in k or "attn_k" in k:
            v = permute(v, (heads if "attn_q" in k else kv)[int(k.split(".")[1])])
        g.add_tensor(k, v)
    g.write_header_to_file(), g.write_kv_data_to_file(), g.write_tensors_to_file(), g.close()
    save_logits(out, forward(c, w, heads, kv), "np_layers.logits.safetensors")


def adapter(out, c, w):
    """LoRA with rank stabilization and patterns: the scale is alpha / sqrt(r), and the first key that ends a name counts."""
    r = np.random.default_rng(7)
    ac = dict(alpha_pattern={"layers.1.mlp.down_proj": 5, "q_proj": 3}, base_model_name_or_path="np_bias", bias="none", fan_in_fan_out=False, inference_mode=True,
              init_lora_weights=True, lora_alpha=4, lora_bias=False, lora_dropout=0.05, modules_to_save=None, peft_type="LORA", r=3, rank_pattern={"^model.layers.0.self_attn.k_proj": 1, "q_proj": 2},
              target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM", use_dora=False, use_rslora=True)
    merged, tensors = dict(w), {}
    for name in w:
        module = name.removesuffix(".weight")
        if not module.endswith("_proj") or module.endswith("layers.1.self_attn.o_proj"):  # one module without: layers_to_transform can do that
            continue
        find = lambda pattern, default: next((v for k, v in pattern.items() if re.match(rf"(.*\.)?({k})$", module)), default)
        rank, alpha = find(ac["rank_pattern"], ac["r"]), find(ac["alpha_pattern"], ac["lora_alpha"])
        a = (r.standard_normal((rank, w[name].shape[1])) / 4).astype(np.float32)
        b = (r.standard_normal((w[name].shape[0], rank)) / 4).astype(np.float32)
        tensors[f"base_model.model.{module}.lora_A.weight"], tensors[f"base_model.model.{module}.lora_B.weight"] = a, b
        merged[name] = w[name].astype(np.float64) + alpha / math.sqrt(rank) * b.astype(np.float64) @ a.astype(np.float64)
    d = os.path.join(out, "np_adapter")
    os.makedirs(d, exist_ok=True)
    json.dump(ac, open(os.path.join(d, "adapter_config.json"), "w"), indent=2)
    save_file(tensors, os.path.join(d, "adapter_model.safetensors"), {"format": "pt"})
    save_logits(d, forward(c, merged))


def check(out):
    for name in "hf_llama", "hf_llama_linear", "hf_qwen2":
        d = os.path.join(out, name)
        c = json.load(open(d + "/config.json"))
        off = abs(forward(c, load_file(d + "/model.safetensors")) - load_file(d + "/logits.safetensors")["logits"]).max()
        print(name, "transformers' logits are", off, "off")
        assert off < 2e-5


if __name__ == "__main__":
    out = sys.argv[1]
    check(out)
    c = config(tie_word_embeddings=False, attention_bias=True, mlp_bias=True)
    w = random_weights(c, 1, head=True)
    folder(out, "bias", c, w)
    adapter(out, c, w)
    c = config(tie_word_embeddings=True)  # saved as the trunk alone
    folder(out, "trunk", c, random_weights(c, 2), lambda s: s.removeprefix("model."))
    c = config(tie_word_embeddings=True)  # part of more, and with a head although it says there is none
    folder(out, "part", c, random_weights(c, 3, head=True), lambda s: "language_model." + s)
    c = config("qwen3", tie_word_embeddings=True, attention_bias=True)
    del c["rope_theta"]
    c["head_dim"] = 8  # of whose pairs some lie on the ramp
    c["rope_parameters"] = dict(rope_theta=10.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=4.0, beta_slow=1.0, truncate=False)
    folder(out, "yarn", c, random_weights(c, 4))
    layers_gguf(out)
