"""Where models come from: a local folder, a hub id, a GGUF file, or our tiny one; each becomes a body with a head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
from transformers.utils import logging as hf_logging

from trainer.contract.specs.setting import Convention
from trainer.models.prm import CLASS_NAMES, SETTINGS_KEY, Prm, PrmSettings
from trainer.models.tiny import make_tiny
from trainer.placement import Encoder, PlacementError

TINY = "tiny"
_HEADS = ("score", "classifier")  # of token classifiers
TWO_LAYERS = "ForProcessRewardModel"  # the end of an architecture's name: Qwen2.5-Math-PRM and those made like it


class ModelError(Exception):
    """A model that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A PRM, its tokenizer and where it came from; `settings_known` unless the model was made elsewhere."""

    prm: Prm
    tokenizer: Any
    source: str
    settings_known: bool = True

    def encoder(self, max_length: int) -> Encoder:
        """What builds this model's ids, in training as in scoring."""
        return self.prm.settings.encoder(self.tokenizer, max_length)


def load_for_training(
    source: str, settings: PrmSettings, texts: Iterable[str], *, seed: int, with_language_head: bool
) -> Loaded:
    """The body of `source` with a fresh step head, weights in float32. `texts` make the tokenizer of a tiny model.

    A PRM with the same classes keeps its head; in a convention that speaks the language head is the step head.
    Raises ModelError.
    """
    hf_logging.disable_progress_bar()
    torch.manual_seed(seed)
    if settings.convention.speaks and settings.classes != 2:
        raise ModelError(f"the {settings.convention.value} convention knows right and wrong; choose TRL for 3 classes")
    try:
        loaded = _fresh(source, settings, texts, seed, with_language_head)
        loaded.encoder(settings.max_length)
    except PlacementError as error:
        raise ModelError(
            f"{source} cannot be trained in the {settings.convention.value} convention: {error}"
        ) from error
    except ModelError:
        raise
    except Exception as error:  # a damaged folder shows itself in many ways
        raise cannot_load(source, error) from error
    check_causal(loaded.prm, source)
    return loaded


def _fresh(source: str, settings: PrmSettings, texts: Iterable[str], seed: int, with_language_head: bool) -> Loaded:
    if source == TINY:
        tiny = make_tiny(texts, seed)
        return _from_causal(tiny.model, tiny.tokenizer, settings, source, with_language_head)
    if source.lower().endswith(".gguf"):
        return _from_gguf(Path(source), settings, with_language_head)
    config, tokenizer = AutoConfig.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    if settings.convention.speaks or with_language_head:
        with _quiet():
            causal = read_whole(AutoModelForCausalLM, source, dtype=torch.float32)
        return _from_causal(causal, tokenizer, settings, source, with_language_head)
    _need_token_classes(config, source)
    config.num_labels = settings.classes
    with _quiet():
        model = read_whole(_classifier(config), source, fresh=_HEADS, config=config, dtype=torch.float32)
    return Loaded(Prm(model, settings), tokenizer, source)


def load_prm(
    source: str, dtype: torch.dtype = torch.float32, *, convention: Convention | None = None, separator: str = "\n"
) -> Loaded:
    """A trained PRM in its own convention: a folder of the PRM recipe, or one made elsewhere. Raises ModelError.

    A model made elsewhere does not say its convention: a process reward model of Qwen's architecture is read as
    Qwen's, another token classifier as TRL's, and of a causal language model `convention` must be said. What is said
    outweighs what the model says. `separator` is that of a model which names none.
    """
    hf_logging.disable_progress_bar()
    try:
        config, tokenizer = AutoConfig.from_pretrained(source), AutoTokenizer.from_pretrained(source)
        kept = getattr(config, SETTINGS_KEY, None)
        settings = _settings_of(config, kept, source, convention, separator)
        kind = AutoModelForCausalLM if settings.convention.speaks else _classifier(config)
        with _quiet():
            model = read_whole(kind, source, dtype=dtype)
        labels = settings.encoder(tokenizer, settings.max_length).label_ids
    except PlacementError as error:
        raise ModelError(f"{source} cannot be read in the {settings.convention.value} convention: {error}") from error
    except ModelError:
        raise
    except Exception as error:  # a damaged folder shows itself in many ways
        raise cannot_load(source, error) from error
    prm = Prm(model, settings, label_ids=labels).eval()
    with torch.no_grad():
        check_numbers(prm.head(prm.body_states(torch.arange(4)[None] % prm.vocabulary)), source)
    check_causal(prm, source)
    return Loaded(prm, tokenizer, source, settings_known=kept is not None)


def _settings_of(
    config: Any,  # noqa: ANN401 - any HF config
    kept: object,
    source: str,
    convention: Convention | None,
    separator: str,
) -> PrmSettings:
    """How a trained model reads; what does not fit its architecture is refused. Raises ModelError."""
    names = config.architectures or ()
    has_head = any("TokenClassification" in name or name.endswith(TWO_LAYERS) for name in names)
    settings = PrmSettings.read(kept, config.num_labels if has_head else 2)
    if kept is None:
        found = Convention.QWEN if any(name.endswith(TWO_LAYERS) for name in names) else Convention.TRL
        settings = replace(settings, convention=found, separator=separator)
    settings = replace(settings, convention=convention or settings.convention)
    if settings.convention.speaks and has_head:
        raise ModelError(
            f"{source} has a step head, the {settings.convention.value} convention reads a language head; "
            "choose TRL or Qwen"
        )
    if not settings.convention.speaks and not has_head:
        raise ModelError(
            f"{source} has no step head; train it with the PRM recipe first, or, if it says + and -, choose the "
            "Math-Shepherd or RLHFlow convention"
        )
    if settings.classes not in CLASS_NAMES:
        raise ModelError(f"{source} has {settings.classes} classes; a PRM has 2 or 3")
    return settings


def _classifier(config: Any) -> Any:  # noqa: ANN401 - any HF config; a class of models
    """The token classifier of a config; with two layers in its head where the architecture's name says so."""
    if not any(name.endswith(TWO_LAYERS) for name in config.architectures or ()):
        return AutoModelForTokenClassification
    _need_token_classes(config, config.name_or_path)
    base = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING[type(config)]

    def with_two_layers(self: Any, config: Any) -> None:  # noqa: ANN401
        base.__init__(self, config)
        hidden = config.hidden_size
        self.score = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, config.num_labels))
        self.post_init()

    name = next(name for name in config.architectures if name.endswith(TWO_LAYERS))
    return type(name, (base,), {"__init__": with_two_layers})


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
    """Set the body of a causal LM under a token classifier's head, without a second copy of the body.

    In a convention that speaks it stays the causal LM it is.
    """
    config = causal.config
    if settings.convention.speaks:
        labels = settings.encoder(tokenizer, settings.max_length).label_ids
        return Loaded(Prm(causal, settings, label_ids=labels), tokenizer, source)
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
    for name in _HEADS:
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
    except NotImplementedError as error:
        raise cannot_load(str(path), error) from error
    if getattr(causal.config, "quantization_config", None) is not None:
        del causal.config.quantization_config  # its weights are plain now, and are saved plain
    return _from_causal(causal, tokenizer, settings, str(path), with_language_head)


def _need_token_classes(config: Any, source: str) -> None:  # noqa: ANN401 - any HF config
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"{source} is a {config.model_type} model, for which transformers has no token classifier; "
            "choose one of a family that has (Llama, Qwen, Mistral, Gemma, Phi, GPT-2, GPT-NeoX, SmolLM ...)"
        )


def cannot_load(source: str, error: Exception) -> ModelError:
    """The reason in one line, with what to do."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    first = f"{said[0]} {said[1]}" if said[0].endswith(":") and len(said) > 1 else said[0]
    if isinstance(error, SafetensorError):
        first = f"its weights are damaged or incomplete ({first}); copy or download it again"
    hint = "" if Path(source).exists() else " If it is a hub id, download it first or check the network."
    return ModelError(f"cannot load the model {source!r}: {first}{hint}")


def read_whole(kind: Any, source: str, *, fresh: tuple[str, ...] = (), **given: Any) -> Any:  # noqa: ANN401
    """`kind.from_pretrained`, which draws what a checkpoint lacks at random: refused but for names that begin `fresh`.

    Raises ModelError and what transformers raises.
    """
    model, told = kind.from_pretrained(source, output_loading_info=True, **given)
    lacking = sorted(name for name in told["missing_keys"] if not name.startswith(fresh or ("\0",)))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ModelError(
            f"{source} is incomplete: it has no weights for {lacking[0]}{more}; copy or download it again, or choose "
            "another model"
        )
    return model


def check_numbers(states: torch.Tensor, source: str) -> None:
    """Refuse a model that computes NaN or infinity. Raises ModelError."""
    if not bool(torch.isfinite(states).all()):
        raise ModelError(
            f"{source} computes no numbers (NaN or infinity): its weights are damaged; copy it again, or choose an "
            "earlier checkpoint"
        )


class _quiet:
    """Hold back the loader's report that the fresh head is fresh."""

    def __enter__(self) -> None:
        self._level = hf_logging.get_verbosity()
        hf_logging.set_verbosity_error()

    def __exit__(self, *_: object) -> None:
        hf_logging.set_verbosity(self._level)
