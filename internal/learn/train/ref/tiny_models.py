# PyTorch's word on tiny models: logits, loss, every gradient by name, and ten steps of AdamW.
#
#     python3 tiny_models.py ../testdata
#
# writes tiny_{qwen2,qwen3,llama,deepseek2}.safetensors: p/NAME initial values, g/NAME gradients of the first loss,
# w/NAME values after ten steps, logits of every row; in the metadata "golden" the configuration, the tokens, the
# labels and the losses. Names and shapes are GGUF's. Everything is computed in float64 from values that are exact in
# float32, and stored in float32, so that what differs is the rounding of the code under test.
#
# Two sequences lie in one batch and must not see one another; only part of the positions carry labels, and those of
# the second sequence count half. Made with PyTorch 1.13.0 on a CPU; any version gives the same to seven digits.
import json, math, struct, sys
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

A = [3, 17, 40, 5, 61, 33, 17, 8, 52, 29, 11, 66, 2, 40]  # labels from token 5 on, weight 1
B = [9, 66, 1, 23, 9, 50, 31, 7, 64]  # labels from token 1 on, weight 0.5
OPT = dict(peak=3e-3, steps=10, warmup=2, min=0.1, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1, clip=1.0)

BASE = dict(vocab=67, width=24, heads=4, kv=2, head_dim=6, ffn=40, layers=2, eps=1e-5, theta=10000.0)
CONFIGS = {
    "llama": dict(BASE, layers=3, tied=True),
    "qwen2": dict(BASE, heads=3, kv=1, head_dim=8, theta=1000.0, eps=1e-6, tied=True),
    "qwen3": dict(BASE, heads=6, kv=3, head_dim=10, ffn=36, theta=500.0, eps=1e-6, tied=False),
    "deepseek2": dict(BASE, heads=3, kv=3, ffn=32, layers=2, tied=False, q_rank=12, kv_rank=10, nope=6, rope=4, value=8,
                      experts=8, top=3, groups=4, keep=2, expert_ffn=14, shared=1, dense=1, scale=1.5),
}


def shapes(arch, c):
    """The parameters in the order of the model."""
    d, s = c["width"], {}
    s["token_embd.weight"] = (c["vocab"], d)
    s["output_norm.weight"] = (d,)
    if not c["tied"]:
        s["output.weight"] = (c["vocab"], d)
    for i in range(c["layers"]):
        b = f"blk.{i}."
        s[b + "attn_norm.weight"] = (d,)
        s[b + "ffn_norm.weight"] = (d,)
        if arch == "deepseek2":
            key = c["nope"] + c["rope"]
            s[b + "attn_q_a.weight"], s[b + "attn_q_a_norm.weight"] = (c["q_rank"], d), (c["q_rank"],)
            s[b + "attn_q_b.weight"] = (c["heads"] * key, c["q_rank"])
            s[b + "attn_kv_a_mqa.weight"], s[b + "attn_kv_a_norm.weight"] = (c["kv_rank"] + c["rope"], d), (c["kv_rank"],)
            s[b + "attn_kv_b.weight"] = (c["heads"] * (c["nope"] + c["value"]), c["kv_rank"])
            s[b + "attn_output.weight"] = (d, c["heads"] * c["value"])
        else:
            q, k = c["heads"] * c["head_dim"], c["kv"] * c["head_dim"]
            s[b + "attn_q.weight"], s[b + "attn_k.weight"], s[b + "attn_v.weight"] = (q, d), (k, d), (k, d)
            s[b + "attn_output.weight"] = (d, q)
            if arch == "qwen2":
                s[b + "attn_q.bias"], s[b + "attn_k.bias"], s[b + "attn_v.bias"] = (q,), (k,), (k,)
            if arch == "qwen3":
                s[b + "attn_q_norm.weight"], s[b + "attn_k_norm.weight"] = (c["head_dim"],), (c["head_dim"],)
        if arch == "deepseek2" and i >= c["dense"]:
            e, f, g = c["experts"], c["expert_ffn"], c["shared"] * c["expert_ffn"]
            s[b + "ffn_gate_inp.weight"], s[b + "exp_probs_b.bias"] = (e, d), (e,)
            s[b + "ffn_gate_exps.weight"], s[b + "ffn_up_exps.weight"], s[b + "ffn_down_exps.weight"] = (e, f, d), (e, f, d), (e, d, f)
            s[b + "ffn_gate_shexp.weight"], s[b + "ffn_up_shexp.weight"], s[b + "ffn_down_shexp.weight"] = (g, d), (g, d), (d, g)
        else:
            s[b + "ffn_gate.weight"], s[b + "ffn_up.weight"], s[b + "ffn_down.weight"] = (c["ffn"], d), (c["ffn"], d), (d, c["ffn"])
    return s


def initial(arch, c, seed):
    gen, p = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes(arch, c).items():
        x = torch.randn(shape, generator=gen)
        if name.endswith("norm.weight"):
            x = 1 + 0.1 * x
        elif name.endswith(".bias"):
            x = 0.1 * x
        elif name == "token_embd.weight":
            x = 0.5 * x
        else:
            x = x / math.sqrt(shape[-1])
        p[name] = x.float().double()
    return p


def norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def rope(x, pos, theta, pairs):
    """x is [T, H, d]; neighbours form a pair, or i and i + d/2."""
    d = x.shape[-1]
    angle = pos[:, None, None] * theta ** (-torch.arange(0, d, 2) / d)
    cos, sin = torch.cos(angle), torch.sin(angle)
    a, b = (x[..., 0::2], x[..., 1::2]) if pairs else (x[..., : d // 2], x[..., d // 2 :])
    a, b = a * cos - b * sin, a * sin + b * cos
    return torch.stack((a, b), -1).flatten(-2) if pairs else torch.cat((a, b), -1)


def attend(q, k, v, mask):
    """q, k are [T, H, d], v is [T, H, v]; as many key as query heads."""
    s = torch.einsum("thd,shd->hts", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("hts,shv->thv", torch.softmax(s.masked_fill(~mask, -math.inf), -1), v).flatten(1)


def gqa(arch, c, p, b, x, pos, mask):
    t = x.shape[0]
    q, k, v = (F.linear(x, p[b + f"attn_{n}.weight"], p.get(b + f"attn_{n}.bias")).view(t, -1, c["head_dim"]) for n in "qkv")
    if arch == "qwen3":
        q, k = norm(q, p[b + "attn_q_norm.weight"], c["eps"]), norm(k, p[b + "attn_k_norm.weight"], c["eps"])
    pairs = arch == "llama"
    q, k = rope(q, pos, c["theta"], pairs), rope(k, pos, c["theta"], pairs)
    g = c["heads"] // c["kv"]
    y = attend(q, k.repeat_interleave(g, 1), v.repeat_interleave(g, 1), mask)
    return F.linear(y, p[b + "attn_output.weight"])


def mla(c, p, b, x, pos, mask):
    t, h = x.shape[0], c["heads"]
    q = norm(F.linear(x, p[b + "attn_q_a.weight"]), p[b + "attn_q_a_norm.weight"], c["eps"])
    q = F.linear(q, p[b + "attn_q_b.weight"]).view(t, h, -1)
    q = torch.cat((q[..., : c["nope"]], rope(q[..., c["nope"] :], pos, c["theta"], True)), -1)
    kv = F.linear(x, p[b + "attn_kv_a_mqa.weight"])
    shared = rope(kv[:, None, c["kv_rank"] :], pos, c["theta"], True)
    kv = F.linear(norm(kv[:, : c["kv_rank"]], p[b + "attn_kv_a_norm.weight"], c["eps"]), p[b + "attn_kv_b.weight"]).view(t, h, -1)
    k = torch.cat((kv[..., : c["nope"]], shared.expand(t, h, -1)), -1)
    return F.linear(attend(q, k, kv[..., c["nope"] :], mask), p[b + "attn_output.weight"])


def mlp(x, gate, up, down):
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


def moe(c, p, b, x):
    score = torch.sigmoid(F.linear(x, p[b + "ffn_gate_inp.weight"]))
    with torch.no_grad():  # the choice, by score and bias, within the best groups
        pick = (score + p[b + "exp_probs_b.bias"]).view(-1, c["groups"], c["experts"] // c["groups"])
        best = pick.topk(2, -1).values.sum(-1).topk(c["keep"], -1).indices
        kept = torch.zeros(x.shape[0], c["groups"]).scatter_(1, best, 1).bool()
        chosen = pick.masked_fill(~kept[..., None], -math.inf).flatten(1).topk(c["top"], -1).indices
    w = score.gather(1, chosen)
    w = c["scale"] * w / w.sum(-1, keepdim=True)
    y = mlp(x, *(p[b + f"ffn_{n}_shexp.weight"] for n in ("gate", "up", "down")))
    rows = []
    for t in range(x.shape[0]):
        row = y[t]
        for j, e in enumerate(chosen[t]):
            row = row + w[t, j] * mlp(x[t], *(p[b + f"ffn_{n}_exps.weight"][e] for n in ("gate", "up", "down")))
        rows.append(row)
    return torch.stack(rows)


def logits(arch, c, p, tokens, pos, mask):
    x = p["token_embd.weight"][tokens]
    for i in range(c["layers"]):
        b = f"blk.{i}."
        h = norm(x, p[b + "attn_norm.weight"], c["eps"])
        x = x + (mla(c, p, b, h, pos, mask) if arch == "deepseek2" else gqa(arch, c, p, b, h, pos, mask))
        h = norm(x, p[b + "ffn_norm.weight"], c["eps"])
        if arch == "deepseek2" and i >= c["dense"]:
            x = x + moe(c, p, b, h)
        else:
            x = x + mlp(h, *(p[b + f"ffn_{n}.weight"] for n in ("gate", "up", "down")))
    return F.linear(norm(x, p["output_norm.weight"], c["eps"]), p["token_embd.weight" if c["tied"] else "output.weight"])


def batch():
    """Tokens, positions, mask, and labels as (row, token, weight)."""
    tokens, pos, seq, labels = [], [], [], []
    for n, (s, first, weight) in enumerate(((A, 5, 1.0), (B, 1, 0.5))):
        for i in range(len(s) - 1):
            if i + 1 >= first:
                labels.append((len(tokens), s[i + 1], weight))
            tokens.append(s[i]), pos.append(i), seq.append(n)
    seq = torch.tensor(seq)
    mask = (seq[:, None] == seq[None]) & torch.ones(len(seq), len(seq)).tril().bool()
    return torch.tensor(tokens), torch.tensor(pos).double(), mask, labels


def rate(i):
    if i < OPT["warmup"]:
        return OPT["peak"] * (i + 1) / OPT["warmup"]
    x = (i - OPT["warmup"]) / (OPT["steps"] - OPT["warmup"])
    return OPT["peak"] * (1 - (1 - math.cos(math.pi * x)) / 2 * (1 - OPT["min"]))


def write(path, golden, tensors):
    header, data = {"__metadata__": {"made_by": "ref/tiny_models.py", "golden": json.dumps(golden)}}, b""
    for name, x in tensors.items():
        raw = struct.pack(f"<{x.numel()}f", *x.detach().flatten().tolist())
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)


def main(folder):
    tokens, pos, mask, labels = batch()
    rows, targets, weights = (torch.tensor(x) for x in zip(*labels))
    for seed, (arch, c) in enumerate(CONFIGS.items(), 1):
        p = {n: x.requires_grad_() for n, x in initial(arch, c, seed).items()}
        out = {"p/" + n: x.detach().clone() for n, x in p.items()}
        learned = [x for n, x in p.items() if not n.endswith("exp_probs_b.bias")]
        opt = torch.optim.AdamW(
            [{"params": [x for x in learned if x.dim() > 1], "weight_decay": OPT["weight_decay"]},
             {"params": [x for x in learned if x.dim() == 1], "weight_decay": 0.0}],
            lr=OPT["peak"], betas=(OPT["beta1"], OPT["beta2"]), eps=OPT["eps"])
        losses, norms = [], []
        for step in range(OPT["steps"]):
            opt.zero_grad()
            z = logits(arch, c, p, tokens, pos, mask)
            loss = (F.cross_entropy(z[rows], targets, reduction="none") * weights).sum() / weights.sum()
            loss.backward()
            if step == 0:
                out["logits"] = z.detach().clone()
                out.update({"g/" + n: x.grad.clone() for n, x in p.items() if x.grad is not None})
            for g in opt.param_groups:
                g["lr"] = rate(step)
            norms.append(torch.nn.utils.clip_grad_norm_(learned, OPT["clip"]).item())
            losses.append(loss.item())
            opt.step()
        out.update({"w/" + n: x for n, x in p.items()})
        golden = {"arch": arch, "config": c, "optimizer": OPT, "losses": losses, "grad_norms": norms, "rates": [rate(i) for i in range(OPT["steps"])],
                  "sequences": [{"tokens": A, "from": 5, "weight": 1.0}, {"tokens": B, "from": 1, "weight": 0.5}]}
        write(f"{folder}/tiny_{arch}.safetensors", golden, out)
        print(arch, sum(x.numel() for x in p.values()), "parameters; losses", *(f"{x:.6f}" for x in losses), "norm", f"{norms[0]:.4f}")


main(sys.argv[1])
