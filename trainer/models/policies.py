"""Where policies come from: a local folder, a hub id, a GGUF file, or our tiny one; and what of them is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as hf_logging

from trainer.contract.records import InputRow
from trainer.contract.spec import Adapt
from trainer.models.adapt import add_lora, train_last_layers
from trainer.models.language import SETTINGS_KEY, Language, collate
from trainer.models.load import TINY, ModelError, cannot_load, check_numbers, read_whole
from trainer.models.tiny import make_tiny
from trainer.prompts import Demonstration, Prompts, PromptSettings


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, its tokenizer and where it came from; `taught` unless it was made elsewhere."""

    language: Language
    tokenizer: Any
    source: str
    taught: bool = True

    @property
    def prompts(self) -> Prompts:
        """What builds this policy's prompts. Raises PromptError."""
        return Prompts(self.tokenizer, self.language.settings)


def load_policy(
    source: str, settings: PromptSettings | None = None, texts: Iterable[str] = (), *, seed: int = 0
) -> LoadedPolicy:
    """A causal language model with its weights in float32; `texts` make the tokenizer of a tiny one.

    `settings` None = as the policy was taught. Raises ModelError.
    """
    hf_logging.disable_progress_bar()
    try:
        if source == TINY:
            tiny = make_tiny(texts, seed)
            model, tokenizer = tiny.model, tiny.tokenizer
        elif source.lower().endswith(".gguf"):
            model, tokenizer = _from_gguf(Path(source))
        else:
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = read_whole(AutoModelForCausalLM, source, dtype=torch.float32)
        said = getattr(model.config, SETTINGS_KEY, None)
        kept = PromptSettings.read(said)
        language = Language(model, settings or kept)
    except ModelError:
        raise
    except Exception as error:  # a damaged folder shows itself in many ways
        raise cannot_load(source, error) from error
    check_reads_left_to_right(language, source)
    return LoadedPolicy(language, tokenizer, source, taught=source == TINY or said is not None)


def _from_gguf(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    from transformers import GgufConfig

    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config  # its weights are plain now, and are saved plain
    return model, tokenizer


def check_reads_left_to_right(language: Language, source: str) -> None:
    """Refuse a body in which a token's state depends on later text, or that computes no numbers. Raises ModelError."""
    first, second = (_states(language, [ids]) for ids in ([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]))
    check_numbers(first, source)
    if not _close(first[0, :3], second[0, :3]):
        raise ModelError(f"{source} reads later text when it predicts a token; choose a causal language model")


def keeps_rows_apart(language: Language) -> bool:
    """Whether rows that share a line are read as if each were alone."""
    rows = [[1, 2, 3, 4, 5, 6], [3, 1, 2], [5, 4, 1]]
    packed = _states(language, rows, packing=True)
    if packed.shape[0] == len(rows):
        return False
    alone = [_states(language, [row])[0] for row in rows]
    together = torch.cat((packed[0], packed[1]))
    return _close(torch.cat(alone), together)


def _states(language: Language, rows: list[list[int]], *, packing: bool = False) -> torch.Tensor:
    was_training = language.training
    language.eval()
    size = int(language.model.config.vocab_size)
    made = [Demonstration(_NO_ROW, np.asarray(ids, np.int64) % size, 1) for ids in rows]
    with torch.no_grad():
        states: torch.Tensor = language.states(collate(made, language.device, packing=packing)).float()
    language.train(was_training)
    return states


_NO_ROW = InputRow(id="", trace="", segmentation=1, problem="", steps=(), step_ids=())


def _close(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() <= 1e-3 * first.abs().max())


def adapt_policy(language: Language, how: Adapt, *, last_layers: int, rank: int) -> None:
    """Choose what is trained: everything, LoRA matrices, the last layers, or the output layer. Raises ValueError."""
    if how is Adapt.ALL:
        return
    language.model.requires_grad_(False)
    if how is Adapt.LORA:
        add_lora(language.model, rank)
    elif how is Adapt.LAST_LAYERS:
        train_last_layers(language.body, last_layers)
    elif language.model.config.tie_word_embeddings:
        raise ValueError("this model's output layer is its embedding: train all weights, last layers, or use LoRA")
    else:
        language.model.get_output_embeddings().requires_grad_(True)


def checkpoint_gradients(language: Language) -> None:
    """Keep only each block's input for the backward pass and compute the rest again."""
    model = language.model
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
