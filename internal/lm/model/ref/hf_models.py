# What Hugging Face's transformers say of small random models, in their own files.
#
#     python3 hf_models.py ../testdata [PUBLISHED]
#
# PUBLISHED holds the package deepseek_v3 with the files modeling_deepseek.py and configuration_deepseek.py that DeepSeek
# published beside the weights of V3; without it that model is left out. The script
# writes testdata/hf_NAME/{config.json,model.safetensors,logits.safetensors}: folders as save_pretrained makes them, and
# the logits [T, V] of TOKENS as one sequence, in float32. Made with transformers 4.40.2 and PyTorch 1.13.0.
import sys
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

TOKENS = [3, 30, 7, 11, 3, 25, 9, 1, 36, 7, 2, 14]
SMALL = dict(vocab_size=37, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
MODELS = {
    "llama": LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=2, rope_theta=500.0, rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "llama_linear": LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=4, rope_scaling={"type": "linear", "factor": 2.0}, tie_word_embeddings=True)),
    "qwen2": Qwen2ForCausalLM(Qwen2Config(**SMALL, num_key_value_heads=2, rope_theta=1000.0, tie_word_embeddings=True)),
}
if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])
    from deepseek_v3.configuration_deepseek import DeepseekV3Config
    from deepseek_v3.modeling_deepseek import DeepseekV3ForCausalLM

    MODELS["deepseek_v3"] = DeepseekV3ForCausalLM(DeepseekV3Config(
        **SMALL, num_key_value_heads=4, q_lora_rank=11, kv_lora_rank=9, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5, n_routed_experts=8,
        n_shared_experts=1, num_experts_per_tok=3, moe_intermediate_size=10, first_k_dense_replace=1, n_group=4, topk_group=2, routed_scaling_factor=1.5,
        topk_method="noaux_tc", scoring_func="sigmoid", norm_topk_prob=True, ep_size=1, rope_theta=100.0, tie_word_embeddings=False, attention_bias=False,
        num_nextn_predict_layers=0,
        rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.8}))


def shake(model, seed):
    """Values large enough for every part to matter, in the order of their names."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            x = torch.randn(p.shape, generator=gen)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.2 * x)
            elif p.dim() == 1:
                p.copy_(0.3 * x)
            else:
                p.copy_(x / p.shape[-1] ** 0.5 * (3 if "embed" in name else 1))


for seed, (name, model) in enumerate(MODELS.items(), 1):
    shake(model, seed)
    folder = f"{sys.argv[1]}/hf_{name}"
    model.save_pretrained(folder)
    with torch.no_grad():
        logits = model.eval()(torch.tensor([TOKENS])).logits[0]
    save_file({"logits": logits.contiguous()}, f"{folder}/logits.safetensors", {"made_by": "ref/hf_models.py"})
    print(name, logits.std().item())
