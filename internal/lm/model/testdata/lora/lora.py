# PyTorch's word on LoRA: logits, loss, the gradient of every A and B, and five steps of AdamW on them alone.
#
#     python3 lora.py .
#
# writes lora_{llama,deepseek2}.safetensors: p/NAME the frozen base by GGUF's names, and by PEFT's names p/NAME the
# first values of A and B, g/NAME the gradients of the first loss, w/NAME the values after five steps; in the metadata
# "golden" the configuration, rank, alpha, tokens, labels and losses. The models are those of
# internal/learn/train/ref/tiny_models.py, in float64 from values exact in float32. The rank is odd and B is not zero,
# so that every gradient says something. Made with PyTorch 1.13.0 on a CPU.
import json, pathlib, sys, tempfile
import torch
import torch.nn.functional as F

here, folder = pathlib.Path(__file__).resolve(), sys.argv[1]
sys.path.insert(0, str(here.parents[4] / "learn/train/ref"))
with tempfile.TemporaryDirectory() as scratch:  # the import writes goldens of its own
    sys.argv[1] = scratch
    import tiny_models as tiny

RANK, ALPHA, STEPS, LR = 3, 6.0, 5, 2e-3
MODULES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_a": "self_attn.q_a_proj", "attn_q_b": "self_attn.q_b_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_b": "self_attn.kv_b_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
for n in ("gate", "up", "down"):
    MODULES[f"ffn_{n}_shexp"] = f"mlp.shared_experts.{n}_proj"
    MODULES[f"ffn_{n}_exps"] = f"mlp.experts.%d.{n}_proj"


def adapters(p, gen):
    """{GGUF name: [(PEFT name, A, B)]}, one or one an expert."""
    out = {}
    for name, w in p.items():
        parts = name.split(".")
        if parts[0] != "blk" or parts[2] not in MODULES or parts[3] != "weight":
            continue
        out[name] = []
        for e in range(w.shape[0] if w.dim() == 3 else 1):
            module = MODULES[parts[2]] % e if w.dim() == 3 else MODULES[parts[2]]
            rows, cols = w.shape[-2:]
            a = (torch.randn(RANK, cols, generator=gen) / cols**0.5).float().double().requires_grad_()
            b = (0.1 * torch.randn(rows, RANK, generator=gen)).float().double().requires_grad_()
            out[name].append((f"base_model.model.model.layers.{parts[1]}.{module}", a, b))
    return out


for seed, arch in ((1, "llama"), (4, "deepseek2")):
    c = tiny.CONFIGS[arch]
    base = tiny.initial(arch, c, seed)
    lora = adapters(base, torch.Generator().manual_seed(100 + seed))
    named = {f"{n}.lora_{k}.weight": x for l in lora.values() for n, a, b in l for k, x in (("A", a), ("B", b))}
    out = {"p/" + n: x.detach().clone() for n, x in (base | named).items()}
    tokens, pos, mask, labels = tiny.batch()
    rows, targets, weights = (torch.tensor(x) for x in zip(*labels))
    opt = torch.optim.AdamW(named.values(), lr=LR, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for step in range(STEPS):
        p = dict(base)
        for name, l in lora.items():
            delta = torch.stack([ALPHA / RANK * b @ a for _, a, b in l])
            p[name] = base[name] + (delta if base[name].dim() == 3 else delta[0])
        opt.zero_grad()
        z = tiny.logits(arch, c, p, tokens, pos, mask)
        loss = (F.cross_entropy(z[rows], targets, reduction="none") * weights).sum() / weights.sum()
        loss.backward()
        if step == 0:
            out["logits"] = z.detach().clone()
            # An expert that no row chose has no gradient.
            out |= {"g/" + n: torch.zeros_like(x) if x.grad is None else x.grad.clone() for n, x in named.items()}
        torch.nn.utils.clip_grad_norm_(named.values(), 1.0)
        losses.append(loss.item())
        opt.step()
    out |= {"w/" + n: x for n, x in named.items()}
    golden = {"arch": arch, "config": c, "rank": RANK, "alpha": ALPHA, "lr": LR, "losses": losses,
              "sequences": [{"tokens": tiny.A, "from": 5, "weight": 1.0}, {"tokens": tiny.B, "from": 1, "weight": 0.5}]}
    tiny.write(f"{folder}/lora_{arch}.safetensors", golden, out)
    print(arch, len(named), "adapters; losses", *(f"{x:.6f}" for x in losses))
