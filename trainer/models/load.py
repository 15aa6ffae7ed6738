"""Where models come from: a local folder, a hub id, a GGUF file, or our tiny one; each becomes a body with a head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
from transformers.utils import logging as hf_logging

from trainer.models.prm import CLASS_NAMES, SETTINGS_KEY, Prm, PrmSettings
from trainer.models.tiny import make_tiny

TINY = "tiny"


class ModelError(Exception):
    """A model that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A PRM, its tokenizer and where it came from; `settings_known` unless the model was made elsewhere."""

    prm: Prm
    tokenizer: Any
    source: str
    settings_known: bool = True


def load_for_training(
    source: str, settings: PrmSettings, texts: Iterable[str], *, seed: int, with_language_head: bool
) -> Loaded:
    """The body of `source` with a fresh step head, weights in float32. `texts` make the tokenizer of a tiny model.

    A PRM with the same classes keeps its head. Raises ModelError.
    """
    hf_logging.disable_progress_bar()
    torch.manual_seed(seed)
    if source == TINY:
        tiny = make_tiny(texts, seed)
        return _from_causal(tiny.model, tiny.tokenizer, settings, source, with_language_head)
    if source.lower().endswith(".gguf"):
        return _from_gguf(Path(source), settings, with_language_head)
    try:
        config = AutoConfig.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        if with_language_head:
            causal = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
            loaded = _from_causal(causal, tokenizer, settings, source, True)
        else:
            _need_token_classes(config, source)
            config.num_labels = settings.classes
            with _quiet():
                model = AutoModelForTokenClassification.from_pretrained(source, config=config, dtype=torch.float32)
            loaded = Loaded(Prm(model, settings), tokenizer, source)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _cannot(source, error) from error
    check_causal(loaded.prm, source)
    return loaded


def load_prm(source: str, dtype: torch.dtype = torch.float32) -> Loaded:
    """A trained PRM: a folder of the PRM recipe, or any causal token classifier. Raises ModelError."""
    hf_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        if not any("TokenClassification" in name for name in config.architectures or ()):
            raise ModelError(f"{source} has no step head; train it with the PRM recipe first")
        if config.num_labels not in CLASS_NAMES:
            raise ModelError(f"{source} has {config.num_labels} classes; a PRM has 2 or 3")
        model = AutoModelForTokenClassification.from_pretrained(source, dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _cannot(source, error) from error
    kept = getattr(config, SETTINGS_KEY, None)
    settings = PrmSettings.read(kept, config.num_labels)
    prm = Prm(model, settings).eval()
    check_causal(prm, source)
    return Loaded(prm, tokenizer, source, settings_known=kept is not None)


def check_causal(prm: Prm, source: str) -> None:
    """Refuse a body in which a step's score depends on later text. Raises ModelError."""
    was_training = prm.training
    prm.eval()
    ids = torch.arange(8) % prm.vocabulary
    other = ids.clone()
    other[5:] = (other[5:] + 1) % prm.vocabulary
    with torch.no_grad():
        first, second = (prm.body_states(x[None].to(prm.device))[0, :5].float() for x in (ids, other))
    prm.train(was_training)
    if (first - second).abs().max() > 1e-3 * first.abs().max():
        raise ModelError(f"{source} reads later text when it scores a step; choose a causal language model")


def _from_causal(
    causal: Any,  # noqa: ANN401 - any HF causal language model
    tokenizer: Any,  # noqa: ANN401
    settings: PrmSettings,
    source: str,
    with_language_head: bool,
) -> Loaded:
    """Set the body of a causal LM under a token classifier's head, without a second copy of the body."""
    config = causal.config
    _need_token_classes(config, source)
    config.num_labels = settings.classes
    with torch.device("meta"):
        model = AutoModelForTokenClassification.from_config(config)
    setattr(model, model.base_model_prefix, getattr(causal, causal.base_model_prefix))
    name, head = step_head(model)
    fresh = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None, device="cpu")
    nn.init.normal_(fresh.weight, std=getattr(config, "initializer_range", 0.02))
    if fresh.bias is not None:
        nn.init.zeros_(fresh.bias)
    setattr(model, name, fresh)
    return Loaded(
        Prm(model, settings, causal.get_output_embeddings() if with_language_head else None), tokenizer, source
    )


def step_head(model: nn.Module) -> tuple[str, nn.Linear]:
    """Name and layer of a token classifier's head."""
    for name in ("score", "classifier"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear):
            return name, head
    raise ModelError(f"{type(model).__name__} keeps its head under an unknown name; choose another architecture")


def _from_gguf(path: Path, settings: PrmSettings, with_language_head: bool) -> Loaded:
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    from transformers import GgufConfig

    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        causal = AutoModelForCausalLM.from_pretrained(
            **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise _cannot(str(path), error) from error
    if getattr(causal.config, "quantization_config", None) is not None:
        del causal.config.quantization_config  # its weights are plain now, and are saved plain
    return _from_causal(causal, tokenizer, settings, str(path), with_language_head)


def _need_token_classes(config: Any, source: str) -> None:  # noqa: ANN401 - any HF config
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"{source} is a {config.model_type} model, for which transformers has no token classifier; "
            "choose one of a family that has (Llama, Qwen, Mistral, Gemma, Phi, GPT-2, GPT-NeoX, SmolLM ...)"
        )


def _cannot(source: str, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = "" if Path(source).exists() else " If it is a hub id, download it first or check the network."
    return ModelError(f"cannot load the model {source!r}: {first}{hint}")


class _quiet:
    """Hold back the loader's report that the fresh head is fresh."""

    def __enter__(self) -> None:
        self._level = hf_logging.get_verbosity()
        hf_logging.set_verbosity_error()

    def __exit__(self, *_: object) -> None:
        hf_logging.set_verbosity(self._level)
