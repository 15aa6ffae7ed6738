"""Rows to labelled steps, token rows and batches; the ids themselves are built in `placement`. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.contract.records import InputRow, SourceRef, Split, Votes
from trainer.contract.specs.prm import AfterError, NeutralPolicy
from trainer.placement import Encoded, Encoder, Ints, PlacementError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Sized(Protocol):
    """A row that knows its length."""

    @property
    def length(self) -> int:
        """Tokens."""
        ...


AnyRow = TypeVar("AnyRow", bound=Sized)

NOTHING_TAUGHT = "no step teaches anything"
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
    steps_taught_elsewhere: int = 0
    steps_neutral_ignored: int = 0
    repairs: int = 0
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

    def balance(self, split: Split) -> Doubles:
        """How many labels of a split stand in each class [classes]; a soft label counts in parts."""
        targets = [row.targets[~np.isnan(row.targets[:, 0])] for row in self.of(split)]
        return np.concatenate(targets).sum(0, dtype=np.float64) if targets else np.zeros(2)


def class_weights(balance: Doubles) -> Doubles:
    """Weights [classes] under which every class that occurs weighs the same in the loss, 1 on average over labels."""
    weights = np.ones_like(balance)
    there = balance > 0
    weights[there] = balance.sum() / (np.count_nonzero(there) * balance[there])
    return weights


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
        wrong = _objection(row, votes)
        if wrong:
            counts.rows_bad_votes += 1
            refused[row.id] = wrong
            continue
        labelled = _label(row, votes, policy, after_error, counts)
        if labelled.labels == 0:
            counts.rows_without_label += 1
            refused[row.id] = NOTHING_TAUGHT
            continue
        kept.append(labelled)
    return Labelled(tuple(kept), counts, refused)


def _objection(row: InputRow, votes: Sequence[Votes | None]) -> str:
    """Why the votes of a row cannot be; empty when they can."""
    if len(votes) != len(row.steps):
        return f"{len(votes)} votes for {len(row.steps)} steps"
    for index, vote in enumerate(votes):
        weights = () if vote is None else (vote.negative, vote.neutral, vote.positive)
        if not all(0 <= weight < math.inf for weight in weights):
            return f"step {index} has the votes {weights}, which are no weights"
    if row.repairs and len(row.repairs) != len(row.steps):
        return f"{len(row.repairs)} repairs for {len(row.steps)} steps"
    return ""


def _label(
    row: InputRow, votes: Sequence[Votes | None], policy: NeutralPolicy, after_error: AfterError, counts: LabelCounts
) -> LabelledRow:
    first_error = first_error_of(votes)
    masked = _masked(row, votes, first_error, after_error)
    targets = np.full((len(votes), classes_of(policy)), np.nan, np.float32)
    rated = np.zeros(len(votes), np.bool_)
    for index, vote in enumerate(votes):
        counts.steps += 1
        target = target_of(vote, policy)
        rated[index] = vote is not None and vote.total > 0
        if not rated[index]:
            counts.steps_unrated += 1
        elif index < row.labelled_from:
            counts.steps_taught_elsewhere += 1
        elif masked[index]:
            counts.steps_after_error += 1
        elif target is None:
            counts.steps_neutral_ignored += 1
        else:
            targets[index] = target
            counts.labels += 1
            counts.repairs += bool(row.repairs) and row.repairs[index] is not None
    return LabelledRow(row.id, row.problem, row.steps, row.split, targets, rated, first_error, row.sources)


def _masked(
    row: InputRow, votes: Sequence[Votes | None], first_error: int | None, after_error: AfterError
) -> list[bool]:
    """Which steps teach nothing because an error stands before them.

    When repairs are learned, a step that repairs an error teaches, and so does what follows once no error is left
    open. Repairing step k settles every error from k on: what was built on k falls with it.
    """
    masked = [False] * len(votes)
    if after_error is AfterError.KEEP or first_error is None or first_error < 0:
        return masked
    open_errors: set[int] = set()
    for index, vote in enumerate(votes):
        repaired = row.repairs[index] if row.repairs and after_error is AfterError.REPAIRS else None
        if repaired is not None:
            open_errors = {error for error in open_errors if error < repaired}
        masked[index] = bool(open_errors) and repaired is None
        if vote is not None and vote.negative * 2 > vote.total > 0:
            open_errors.add(index)
    return masked


@dataclass(slots=True)
class CutCounts:
    """What `max_length` cost over all rows seen, and which rows do not fit the convention.

    `steps_with_marker` hold the separator or tag within: harmless here, but not for tools that search for it.
    """

    rows: int = 0
    rows_cut: int = 0
    labels_lost: int = 0
    rows_lost: int = 0
    steps_with_marker: int = 0
    rows_misplaced: int = 0
    misplaced: dict[str, str] = field(default_factory=dict)  # id: why

    def as_dict(self) -> dict[str, int]:
        """The counts by name, as a notice carries them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "misplaced"}


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


def tokenise(rows: Iterable[LabelledRow], encoder: Encoder, counts: CutCounts) -> list[TokenRow]:
    """Rows to tokens. Labels lost to the cut are counted; a row that lost them all is left out and counted."""
    out = []
    for row in rows:
        counts.rows += 1
        counts.steps_with_marker += sum(encoder.marker in step for step in row.steps)
        try:
            encoded = encoder.encode(row.problem, row.steps)
        except PlacementError as error:
            counts.rows_misplaced += 1
            counts.misplaced[row.id] = str(error)
            continue
        labelled = np.flatnonzero(~np.isnan(row.targets[:, 0]))
        kept = labelled[labelled < encoded.steps]
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
