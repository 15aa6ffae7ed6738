"""Labelled steps to token ids, label positions and batches: one builder for training and for scoring. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.contract.records import InputRow, SourceRef, Split, Votes
from trainer.contract.spec import AfterError, NeutralPolicy

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Sized(Protocol):
    """A row that knows its length."""

    @property
    def length(self) -> int:
        """Tokens."""
        ...


AnyRow = TypeVar("AnyRow", bound=Sized)

WINDOW = 16  # batches whose rows are sorted together by length: little padding, order still random


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row with what it teaches.

    `targets` [steps, classes] are distributions over (negative, positive) or (negative, neutral, positive),
    NaN where a step teaches nothing. `rated` [steps] says which steps anybody rated, masked or not.
    `first_error` is the first step rated negative, -1 when all steps are rated and none is, None when unknown.
    """

    id: str
    problem: str
    steps: tuple[str, ...]
    split: Split
    targets: Floats
    rated: Bools
    first_error: int | None
    sources: tuple[SourceRef, ...] = ()

    @property
    def correct(self) -> Floats:
        """Target P(correct) of every step [steps], NaN without label; neutral counts as correct in three classes."""
        return 1.0 - self.targets[:, 0]

    @property
    def truth(self) -> Floats:
        """1 correct, 0 wrong [steps]; NaN without label or where the votes are even."""
        correct = self.correct
        return np.where(np.isnan(correct) | (correct == 0.5), np.nan, (correct > 0.5).astype(np.float32))

    @property
    def labels(self) -> int:
        """How many steps teach."""
        return int(np.count_nonzero(~np.isnan(self.targets[:, 0])))


@dataclass(slots=True)
class LabelCounts:
    """What became of the rows and of their ratings on the way to labels. Nothing is lost without being counted."""

    rows: int = 0
    rows_bad_votes: int = 0
    rows_without_label: int = 0
    steps: int = 0
    steps_unrated: int = 0
    steps_after_error: int = 0
    steps_neutral_ignored: int = 0
    labels: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name, as a notice carries them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Labelled:
    """The rows that teach or can be measured, the counts, and the rows refused (id: why)."""

    rows: tuple[LabelledRow, ...]
    counts: LabelCounts
    refused: dict[str, str]

    def of(self, split: Split) -> tuple[LabelledRow, ...]:
        """The rows of one split."""
        return tuple(row for row in self.rows if row.split is split)


def classes_of(policy: NeutralPolicy) -> int:
    """How many classes the head has under a neutral policy."""
    return 3 if policy is NeutralPolicy.THREE_CLASSES else 2


def target_of(votes: Votes | None, policy: NeutralPolicy) -> tuple[float, ...] | None:
    """The distribution a step's votes teach; None when they teach nothing. Shares of votes become soft targets."""
    if votes is None or votes.total <= 0:
        return None
    if policy is NeutralPolicy.THREE_CLASSES:
        return (votes.negative / votes.total, votes.neutral / votes.total, votes.positive / votes.total)
    neutral_worth = {NeutralPolicy.POSITIVE: 1.0, NeutralPolicy.NEGATIVE: 0.0, NeutralPolicy.SOFT: 0.5}
    if policy is NeutralPolicy.IGNORE:
        decided = votes.negative + votes.positive
        if decided <= 0:
            return None
        positive = votes.positive / decided
    else:
        positive = (votes.positive + neutral_worth[policy] * votes.neutral) / votes.total
    return (1.0 - positive, positive)


def first_error_of(votes: Sequence[Votes | None]) -> int | None:
    """First step that more than half of the votes call negative; -1 when all are rated and none is; else None."""
    for index, vote in enumerate(votes):
        if vote is not None and vote.negative * 2 > vote.total > 0:
            return index
    return -1 if votes and all(vote is not None and vote.total > 0 for vote in votes) else None


def label_rows(rows: Iterable[InputRow], policy: NeutralPolicy, after_error: AfterError) -> Labelled:
    """Apply the neutral policy and the after-error rule; rows that cannot be used are counted and named."""
    counts, kept, refused = LabelCounts(), [], {}
    for row in rows:
        counts.rows += 1
        votes = row.votes if row.votes is not None else (None,) * len(row.steps)
        if len(votes) != len(row.steps):
            counts.rows_bad_votes += 1
            refused[row.id] = f"{len(votes)} votes for {len(row.steps)} steps"
            continue
        labelled = _label(row, votes, policy, after_error, counts)
        if labelled.labels == 0:
            counts.rows_without_label += 1
            refused[row.id] = "no step teaches anything"
            continue
        kept.append(labelled)
    return Labelled(tuple(kept), counts, refused)


def _label(
    row: InputRow, votes: Sequence[Votes | None], policy: NeutralPolicy, after_error: AfterError, counts: LabelCounts
) -> LabelledRow:
    first_error = first_error_of(votes)
    last = (
        first_error if after_error is AfterError.MASK and first_error is not None and first_error >= 0 else len(votes)
    )
    targets = np.full((len(votes), classes_of(policy)), np.nan, np.float32)
    rated = np.zeros(len(votes), np.bool_)
    for index, vote in enumerate(votes):
        counts.steps += 1
        target = target_of(vote, policy)
        rated[index] = vote is not None and vote.total > 0
        if not rated[index]:
            counts.steps_unrated += 1
        elif index > last:
            counts.steps_after_error += 1
        elif target is None:
            counts.steps_neutral_ignored += 1
        else:
            targets[index] = target
            counts.labels += 1
    return LabelledRow(row.id, row.problem, row.steps, row.split, targets, rated, first_error, row.sources)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a row and, beside them, the position of every step's end; steps beyond the cut have none.

    The first `prompt` tokens are the problem's.
    """

    ids: Ints
    ends: Ints
    prompt: int

    @property
    def steps(self) -> int:
        """How many steps fitted."""
        return len(self.ends)


class StepEncoder:
    """Text to ids, the same for training and scoring.

    ids = [bos] + problem + for each step (step + separator), every part tokenised by itself, as TRL 1.13's
    PRMTrainer does; a step's score is read at the last token of the separator behind it. Positions are known
    because they are counted here; no token is ever searched for.
    """

    def __init__(self, tokenizer: Any, separator: str, max_length: int) -> None:  # noqa: ANN401 - any HF tokenizer
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._separator = self._ids([separator])[0]
        if not self._separator:
            raise ValueError(f"the separator {separator!r} has no token in this tokenizer; choose another separator")
        self._bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]

    def encode(self, prompt: str, steps: Sequence[str]) -> Encoded:
        """One row. The cut at `max_length` keeps the start; a step whose separator is cut has no position."""
        parts = self._ids([prompt, *steps])
        ids, ends = [*self._bos, *parts[0]], []
        of_problem = min(len(ids), self._max_length)
        for part in parts[1:]:
            ids += part
            ids += self._separator
            ends.append(len(ids) - 1)
        kept = [end for end in ends if end < self._max_length]
        return Encoded(np.asarray(ids[: self._max_length], np.int64), np.asarray(kept, np.int64), of_problem)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False)[
            "input_ids"
        ]
        return ids


def prompt_of(problem: str) -> str:
    """The problem on a line of its own, before the first step."""
    return problem if problem.endswith("\n") else problem + "\n"


@dataclass(slots=True)
class CutCounts:
    """What `max_length` cost, over all rows seen."""

    rows: int = 0
    rows_cut: int = 0
    labels_lost: int = 0
    rows_lost: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name, as a notice carries them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A labelled row as the model reads it: ids, positions of the labelled steps, their targets and ordinals."""

    row: LabelledRow
    encoded: Encoded
    ordinals: Ints
    positions: Ints
    targets: Floats

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.encoded.ids)

    @property
    def spoken(self) -> Bools:
        """Tokens [length] that the language loss learns: those of steps, but not of steps known to be wrong."""
        spoken = np.arange(self.length) >= self.encoded.prompt
        for ordinal, correct in zip(self.ordinals, 1.0 - self.targets[:, 0], strict=True):
            if correct < 0.5:
                begin = self.encoded.ends[ordinal - 1] + 1 if ordinal else self.encoded.prompt
                spoken[begin : self.encoded.ends[ordinal] + 1] = False
        return spoken


def tokenise(rows: Iterable[LabelledRow], encoder: StepEncoder, counts: CutCounts) -> list[TokenRow]:
    """Rows to tokens. Labels lost to the cut are counted; a row that lost them all is left out and counted."""
    out = []
    for row in rows:
        encoded = encoder.encode(prompt_of(row.problem), row.steps)
        labelled = np.flatnonzero(~np.isnan(row.targets[:, 0]))
        kept = labelled[labelled < encoded.steps]
        counts.rows += 1
        counts.labels_lost += len(labelled) - len(kept)
        counts.rows_cut += len(kept) < len(labelled)
        if not len(kept):
            counts.rows_lost += 1
            continue
        out.append(TokenRow(row, encoded, kept, encoded.ends[kept], row.targets[kept]))
    return out


def plan_epoch(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[Ints]:
    """The batches of one epoch as arrays of row numbers: a pure function of its arguments, so a resume finds its place.

    Rows are shuffled, sorted by length within windows of 16 batches, cut into batches, and the batches shuffled.
    """
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = rng.permutation(len(lengths))
    size = np.asarray(lengths, np.int64)
    batches: list[Ints] = []
    for start in range(0, len(order), batch_size * WINDOW):
        window = order[start : start + batch_size * WINDOW]
        window = window[np.argsort(-size[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def split_by_length(rows: Sequence[AnyRow], size: int) -> list[list[AnyRow]]:
    """A batch into micro-batches of at most `size` rows, longest first, so that little is padded."""
    ordered = sorted(rows, key=lambda row: -row.length)
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def split_by_tokens(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers in groups whose padded size stays within `budget` tokens (one row may exceed it), longest first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
