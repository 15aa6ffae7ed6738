"""A GGUF file in float32 is the model that it was made from, and trains as such."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.trainer.runs import ended, prm_run, story_rows
from trainer.models.load import load_for_training
from trainer.models.prm import PrmSettings
from trainer.models.tiny import make_tiny
from trainer.recipes import prm
from trainer.runtime.worker import run_attempt


def gguf_of(model: LlamaForCausalLM, tokenizer: object, path: Path) -> None:
    """The model as llama.cpp keeps it: F32, query and key rows in the order of its rotary embedding."""
    import gguf

    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    kept = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([3 if index < 3 else 1 for _, index in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in kept["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    for name, weight in state.items():
        writer.add_tensor(gguf_name(name), in_llama_cpp_order(name, weight, config).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """A Hugging Face weight's name in GGUF."""
    new = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in new:
        return new[name]
    _, _, layer, rest = name.split(".", 3)
    part = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }[rest.removesuffix(".weight")]
    return f"blk.{layer}.{part}.weight"


def in_llama_cpp_order(name: str, weight: torch.Tensor, config: LlamaConfig) -> torch.Tensor:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((n for part, n in heads.items() if part in name), None)
    if count is None:
        return weight.contiguous()
    rows, columns = weight.shape
    return weight.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns).contiguous()


def test_a_gguf_file_trains_as_the_model_it_was_made_from(tmp_path: Path):
    rows = story_rows(30)
    tokenizer = make_tiny([text for row in rows for text in (row.problem, *row.steps)], 0).tokenizer
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )
    model.save_pretrained(tmp_path / "plain")
    gguf_of(model, tokenizer, tmp_path / "model.gguf")
    loaded = load_for_training(str(tmp_path / "model.gguf"), PrmSettings(2), (), seed=0, with_language_head=False)
    ids = torch.arange(20) % len(tokenizer)
    with torch.no_grad():
        expected = model.model(ids[None]).last_hidden_state
        found = loaded.prm.body_states(ids[None])
    assert float((expected - found).abs().max()) < 1e-5
    folder = prm_run(tmp_path / "run", rows, model=str(tmp_path / "model.gguf"), max_steps=2)
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
