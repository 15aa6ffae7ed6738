"""Small random models of many families for the tests of decoding."""

from __future__ import annotations

from typing import Any

import torch
import transformers

VOCABULARY = 300
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", SMALL),
    "llama, tied, biases": ("Llama", SMALL | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama 3 rotation": ("Llama", SMALL | {"rope_parameters": LLAMA3}),
    "qwen2": ("Qwen2", SMALL),
    "qwen3": ("Qwen3", SMALL | {"head_dim": 32}),
    "mistral": ("Mistral", SMALL | {"sliding_window": None}),
}
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, dynamic rotation": ("Llama", SMALL | {"rope_parameters": DYNAMIC}),
    "mistral, window": ("Mistral", SMALL | {"sliding_window": 8}),
    "gemma2, window, capped logits": ("Gemma2", SMALL | {"head_dim": 16, "sliding_window": 8}),
    "gpt2": ("GPT2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "bloom": ("Bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}),
}
REREAD: dict[str, tuple[str, dict[str, Any]]] = {
    "lfm2": ("Lfm2", SMALL | {"layer_types": ["conv", "full_attention"]}),
}


def random_model(family: str, settings: dict[str, Any], *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """A causal LM of the family whose logits are far from flat."""
    suffix = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    plain = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    config = getattr(transformers, f"{family}Config")(**plain | settings)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{family}{suffix}")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model.to(dtype)


def greedy(model: Any, prompt: list[int], tokens: int) -> list[int]:
    """What transformers' own generate writes without sampling."""
    ids = torch.tensor([prompt])
    settings = transformers.GenerationConfig(max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return out[0, len(prompt) :].tolist()
