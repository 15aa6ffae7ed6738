"""The process reward model: a causal body, and a head that reads only the ends of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.contract.spec import Adapt, NeutralPolicy
from trainer.contract.specs.setting import Convention
from trainer.data import Doubles, TokenRow
from trainer.models.adapt import add_lora, layers_of, train_last_layers
from trainer.models.learn import ParameterGroup, Pass, trained
from trainer.models.products import WIDTHS, multiply_fast
from trainer.placement import Encoded, Encoder, Ints, make_encoder

SETTINGS_KEY = "steplens"


class Judges(StrEnum):
    """What a model's score is about: a PRM's every step, an ORM's whole trace."""

    STEPS = "steps"
    OUTCOME = "outcome"


CLASS_NAMES = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


@dataclass(frozen=True, slots=True)
class PrmSettings:
    """What a PRM must remember to read text as it was trained; kept in config.json under "steplens".

    `prompt_end` is what the problem must end with, and `separator` what follows a step, in the TRL convention;
    `placeholder` stands for the tag of a convention that has one. Scores are softmax(logits / temperature); under
    `threshold` a step is called wrong. `judged` says whether every step is scored or the trace's end alone.
    """

    classes: int
    separator: str = "\n"
    max_length: int = 1024
    neutral: str = NeutralPolicy.POSITIVE.value
    domain: str = ""
    convention: Convention = Convention.TRL
    placeholder: str = ""
    prompt_end: str = "\n"
    judged: Judges = Judges.STEPS
    temperature: float = 1.0
    threshold: float = 0.5
    calibration: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: object, classes: int) -> PrmSettings:
        """From a config's entry; a model made elsewhere has none and gets the defaults of TRL."""
        known = {f.name for f in fields(cls)} - {"classes"}
        given: dict[str, Any] = {"prompt_end": ""}
        if isinstance(kept, dict):
            given = {k: v for k, v in kept.items() if k in known}
        given |= {"convention": Convention(given.get("convention", Convention.TRL))}
        given |= {"judged": Judges(given.get("judged", Judges.STEPS))}
        return cls(classes=classes, **given)

    def encoder(self, tokenizer: Any, max_length: int) -> Encoder:  # noqa: ANN401 - any HF tokenizer
        """The builder of ids for this PRM, in training as in scoring. Raises PlacementError."""
        return make_encoder(
            self.convention,
            tokenizer,
            max_length,
            separator=self.separator,
            placeholder=self.placeholder,
            prompt_end=self.prompt_end,
        )


@dataclass(frozen=True, slots=True)
class StepBatch:
    """Right-padded rows: ids [rows, length]; flat places [labels] of step ends in rows x length; real tokens."""

    ids: Tensor
    places: Tensor
    tokens: int


class LabelTokens(nn.Module):
    """A step head that is two rows of a language head: the logits of the tokens that say wrong and right."""

    def __init__(self, language_head: Any, label_ids: tuple[int, int]) -> None:  # noqa: ANN401 - a linear layer
        super().__init__()
        self.language_head = language_head
        self.register_buffer("label_ids", torch.tensor(label_ids), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [labels, 2] of states [labels, hidden]."""
        bias = self.language_head.bias
        return F.linear(
            states, self.language_head.weight[self.label_ids], None if bias is None else bias[self.label_ids]
        )


class _Narrow:
    """Feeds the gated feed-forward of a body's last layer only the tokens at `places`; None = all of them.

    What it would add to the other tokens is left out: nothing reads their states behind the last layer. A body whose
    last layer is built otherwise is left as it is.
    """

    def __init__(self, body: nn.Module) -> None:
        self._places: Tensor | None = None
        self._shape = torch.Size()
        has_stack = any(isinstance(module, nn.ModuleList) for module in body.children())
        feed_forward: Any = getattr(layers_of(body)[-1], "mlp", None) if has_stack else None
        if isinstance(getattr(feed_forward, "down_proj", None), nn.Linear):
            feed_forward.register_forward_pre_hook(self._before)
            feed_forward.register_forward_hook(self._after)

    @contextmanager
    def to(self, places: Tensor | None) -> Iterator[None]:
        """Within this, and not in passes of others over the same body."""
        self._places = places
        try:
            yield
        finally:
            self._places = None

    def _before(self, _module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._places is None:
            return None
        states, *rest = given
        self._shape = states.shape
        return (states.flatten(0, -2).index_select(0, self._places), *rest)

    def _after(self, _module: nn.Module, _given: tuple[Tensor, ...], made: Tensor) -> Tensor | None:
        if self._places is None:
            return None
        whole = made.new_zeros(self._shape).flatten(0, -2)
        return whole.index_copy(0, self._places, made).view(self._shape)


class Prm(nn.Module):
    """A Hugging Face model whose head is applied to step ends alone: a token classifier, or, in the conventions that
    speak, a causal language model read at two of its tokens.

    Padding is on the right and the body is causal, so no attention mask is needed: a real token never sees padding.
    While `head_only`, gradients do not reach the body. `recomputes`: layers run again in the backward pass.
    `language_head` is learned beside the step head, or only kept.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        settings: PrmSettings,
        language_head: nn.Module | None = None,
        label_ids: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.language_head = language_head
        self.head_only = False
        self.recomputes = False
        self._narrow = _Narrow(self.body)
        self.head: nn.Module
        if label_ids is not None:
            self.head = LabelTokens(model.get_output_embeddings(), label_ids)
        else:
            self.head = getattr(model, next(name for name in ("score", "classifier") if hasattr(model, name)))
        for module in model.modules():  # no dropout: a step's score and its gradient are functions of the weights alone
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0
        multiply_fast(model)
        config = model.config
        config.use_cache = False
        if label_ids is None:
            config.classifier_dropout = 0.0
            names = CLASS_NAMES[settings.classes]
            config.id2label = dict(enumerate(names))
            config.label2id = {name: index for index, name in enumerate(names)}
        self.remember(settings)

    def remember(self, settings: PrmSettings) -> None:
        """Take other settings; a saved folder keeps them."""
        self.settings = settings
        setattr(self.model.config, SETTINGS_KEY, asdict(settings))

    @property
    def speaks(self) -> bool:
        """Whether the step head is part of the language head."""
        return isinstance(self.head, LabelTokens)

    @property
    def body(self) -> nn.Module:
        """The causal body."""
        return getattr(self.model, self.model.base_model_prefix)

    @property
    def blocks(self) -> nn.Module:
        """The module that holds the stack of blocks: the body, under its adapters."""
        body: Any = self.body
        return body.get_base_model() if hasattr(body, "get_base_model") else body

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.head.parameters()).device

    @property
    def vocabulary(self) -> int:
        """How many tokens the body knows."""
        return int(self.model.config.vocab_size)

    def body_states(self, ids: Tensor, places: Tensor | None = None) -> Tensor:
        """Last hidden states [rows, length, hidden] of right-padded ids [rows, length].

        Where only the states at `places` of rows x length are read, the others need not be right: the last layer's
        feed-forward, a ninth of a small body's work, is done there alone.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.head_only), self._narrow.to(places):
            return self.body(input_ids=ids, use_cache=False).last_hidden_state

    def forward(self, batch: StepBatch, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """Head logits [labels, classes] in float32, and the states [rows, length, hidden] behind them.

        The states are right at the batch's places, and everywhere if `whole`.
        """
        states = self.body_states(batch.ids, None if whole or self.recomputes else batch.places)
        ends = states.flatten(0, 1).index_select(0, batch.places)
        return self.head(ends).float(), states

    def language_loss(self, batch: StepBatch, states: Tensor, spoken: Tensor) -> Tensor:
        """Sum of the cross-entropy of the `spoken` tokens [rows, length], each given what stands before it."""
        if self.language_head is None:
            raise ValueError("this PRM was loaded without its language head")
        learned = spoken[:, 1:]
        logits = self.language_head(states[:, :-1][learned]).float()
        return F.cross_entropy(logits, batch.ids[:, 1:][learned], reduction="sum")

    @torch.no_grad()
    def probabilities(self, batch: StepBatch) -> Tensor:
        """P(step is correct) [labels]: 1 - P(negative), so that neutral counts as correct in three classes."""
        logits, _ = self(batch)
        return 1.0 - (logits / self.settings.temperature).softmax(-1)[:, 0]

    def save(self, folder: Path) -> None:
        """A plain Hugging Face folder: for AutoModelForTokenClassification, or for AutoModelForCausalLM if it speaks.

        A LoRA adapter is merged and kept beside. A language head that was kept is in the same weights, so that
        AutoModelForCausalLM finds the policy whose trunk this is.
        """
        body: Any = self.body
        if hasattr(body, "merge_and_unload"):
            body.save_pretrained(str(folder / "adapter"))
            setattr(self.model, self.model.base_model_prefix, body.merge_and_unload())
        weights = self.model.state_dict()
        if self.language_head is not None and not self.model.config.tie_word_embeddings:
            weights |= {f"lm_head.{name}": weight for name, weight in self.language_head.state_dict().items()}
        self.model.save_pretrained(str(folder), state_dict=weights)


def collate(rows: Sequence[tuple[Ints, Ints]], device: torch.device | str = "cpu") -> StepBatch:
    """(ids, positions of step ends) of each row to one right-padded batch."""
    lengths = [len(ids) for ids, _ in rows]
    width = -(-max(lengths) // WIDTHS) * WIDTHS
    ids = np.zeros((len(rows), width), np.int64)
    for line, (row, _) in zip(ids, rows, strict=True):
        line[: len(row)] = row
    places = np.concatenate([positions + index * width for index, (_, positions) in enumerate(rows)])
    return StepBatch(torch.from_numpy(ids).to(device), torch.from_numpy(places).to(device), sum(lengths))


def collate_labelled(rows: Sequence[TokenRow], device: torch.device | str = "cpu") -> tuple[StepBatch, Tensor]:
    """Labelled rows to a batch and the targets [labels, classes] at its places."""
    batch = collate([(row.encoded.ids, row.positions) for row in rows], device)
    return batch, torch.from_numpy(np.concatenate([row.targets for row in rows])).to(device)


def spoken_of(rows: Sequence[TokenRow], batch: StepBatch) -> Tensor:
    """Which tokens of a batch of these rows the language loss learns [rows, length]."""
    spoken = np.zeros(batch.ids.shape, np.bool_)
    for line, row in zip(spoken, rows, strict=True):
        line[: row.length] = row.spoken
    return torch.from_numpy(spoken).to(batch.ids.device)


def collate_scoring(rows: Sequence[Encoded], device: torch.device | str = "cpu") -> StepBatch:
    """Rows to be scored at every step that fitted."""
    return collate([(row.ids, row.ends) for row in rows], device)


def step_loss(logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Sum over labels of the cross-entropy against (soft) targets, both [labels, classes].

    With `class_weights` [classes] every label counts with the weight of its class (a soft one with its mixture).
    """
    if class_weights is None:
        return F.cross_entropy(logits, targets, reduction="sum")
    return (F.cross_entropy(logits, targets, reduction="none") * (targets @ class_weights)).sum()


class StepObjective:
    """Mean cross-entropy over the labels of a batch; beside it, at `language_loss`, that of the next token.

    With `class_weights` the mean is weighted, over the batch as over its passes.
    """

    def __init__(self, prm: Prm, language_loss: float = 0.0, class_weights: Doubles | None = None) -> None:
        self._prm = prm
        self._language_loss = language_loss
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.head_only: Callable[[], bool] = lambda: False  # asked at every step: does only the head learn now?

    def totals(self, rows: Sequence[TokenRow]) -> tuple[float, ...]:
        """Labels, tokens the language loss learns, and the labels' weights together."""
        self._prm.head_only = self.head_only()
        labels = sum(len(row.positions) for row in rows)
        words = self._language_loss > 0 and not self._prm.head_only
        weight = float(labels)
        if self._weights is not None:
            weight = float(sum((row.targets @ self._weights.numpy()).sum() for row in rows))
        return labels, (sum(int(row.spoken.sum()) for row in rows) if words else 0), weight

    def passed(self, rows: Sequence[TokenRow], totals: Sequence[float]) -> Pass:
        """These rows' share of the batch's loss."""
        _, words, weight = totals
        batch, targets = collate_labelled(rows, self._prm.device)
        logits, states = self._prm(batch, whole=words > 0)
        weights = None if self._weights is None else self._weights.to(logits.device)
        whole = loss = step_loss(logits, targets, weights) / weight
        if words:
            spoken = spoken_of(rows, batch)
            whole = loss + self._language_loss * self._prm.language_loss(batch, states, spoken) / words
        return Pass(whole, loss, int((logits.detach().argmax(-1) == targets.argmax(-1)).sum()))


def adapt(prm: Prm, how: Adapt, *, last_layers: int, rank: int) -> None:
    """Choose what is trained: everything, LoRA matrices, the last layers, or the head alone. A step head always is."""
    body: Any = prm.body
    if how is Adapt.ALL:
        return
    body.requires_grad_(False)
    if prm.speaks:
        prm.head.requires_grad_(how is Adapt.HEAD)
        if how is Adapt.HEAD and prm.model.config.tie_word_embeddings:
            raise ValueError("this model's language head is its embedding: train all weights, last layers, or use LoRA")
    if prm.language_head is not None:
        prm.language_head.requires_grad_(False)
    if how is Adapt.LORA:
        add_lora(prm.model, rank)
    elif how is Adapt.LAST_LAYERS:
        train_last_layers(body, last_layers)


def parameter_groups(
    prm: Prm, *, head_rate: float, body_rate: float, weight_decay: float
) -> tuple[ParameterGroup, ParameterGroup]:
    """The head and the body, each at its own rate; a language head learns with its body."""
    head = set() if prm.speaks else {id(weight) for weight in prm.head.parameters()}
    weights = [weight for _, weight in trained(prm)]
    of_head = tuple(weight for weight in weights if id(weight) in head)
    of_body = tuple(weight for weight in weights if id(weight) not in head)
    return (
        ParameterGroup("head_learning_rate", of_head, head_rate, weight_decay),
        ParameterGroup("learning_rate", of_body, body_rate, weight_decay),
    )
