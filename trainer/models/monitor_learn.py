"""Tier 1 of the safety monitor, learning: steps that people spoke about, logistic regression, calibration by problem.

Rows are split by problem, never at random: every figure and every curve comes from scores that a model gave problems it
had not seen; and again by the family of the model that wrote a trace, where the labels are of two or more. The rarity
of features is counted over all texts, which tells nothing of labels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.models.monitor_curves import best_share, crossed, fit_curve, fit_norm
from trainer.reasoning.metrics import auc, average_precision, ece
from trainer.reasoning.safety import CATEGORIES, Category
from trainer.reasoning.word_scores import (
    CHARACTER_SIZES,
    WORD_SIZES,
    Card,
    Head,
    WordModel,
    hybrid,
    top_of,
)

Floats = NDArray[np.float64]
LEAST = 5  # positives, and negatives, without which a category is not learned
SYNTHETIC = "synthetic"


class TooFewError(ValueError):
    """No category has labels enough; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A step with what was said of it: 1 there, 0 not, -1 nothing, by category."""

    text: str
    said: tuple[int, ...]
    trace: int  # place in the list of traces, -1 for an example that came with the program


@dataclass(frozen=True, slots=True)
class Labelled:
    """A trace with a word about it: the texts of its steps by part, and the truth [7] of the whole."""

    thinking: tuple[str, ...]
    answer: tuple[str, ...]
    said: tuple[int, ...]
    group: str  # its problem: what must not stand on both sides
    model: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a training."""

    folds: int = 3
    features: int = 60_000
    strength: float = 4.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What models that had not seen a trace's problem gave it, by category: calibrated score, raw one, truth, problem,
    model. The order is that of the raw scores: calibration of a part comes of the others."""

    scores: Floats
    raw: Floats
    truth: NDArray[np.int64]
    groups: tuple[str, ...]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """The model and its out-of-fold scores by category."""

    model: WordModel
    held_out: dict[Category, OutOfFold]
    by_family: dict[Category, dict[str, OutOfFold]] = field(default_factory=dict)  # of models that saw none of it


def learn(
    units: Sequence[Unit], groups: Sequence[str], traces: Sequence[Labelled], options: Options, *, name: str
) -> Learned:
    """Learn every category that has enough labels; `groups[i]` is the problem of `units[i]`. Raises TooFewError."""
    said = np.array([unit.said for unit in units], np.int64).reshape(-1, len(CATEGORIES))
    if not any(_is_learnable(said[:, category.place]) for category in CATEGORIES):
        raise TooFewError(
            f"no category has {LEAST} confirmed and {LEAST} rejected steps; review more flags, "
            "or begin with the examples"
        )
    fitted = _Fitted([unit.text for unit in units], traces, options)
    groups, traces = _one_problem_each(groups, traces)
    folds = fold_of(groups, options.folds)
    trace_folds = fold_of([trace.group for trace in traces], options.folds)
    weights, bias = np.zeros((len(CATEGORIES), fitted.size)), np.zeros(len(CATEGORIES))
    heads: list[Head] = []
    held_out: dict[Category, OutOfFold] = {}
    by_family: dict[Category, dict[str, OutOfFold]] = {}
    synthetic = np.array([unit.trace < 0 for unit in units], np.bool_)
    for category in CATEGORIES:
        mine = np.flatnonzero(said[:, category.place] >= 0)
        truth = said[mine, category.place]
        if not _is_learnable(said[:, category.place]):
            continue
        every = [fitted.fit(mine[folds[mine] != fold], said[:, category.place]) for fold in range(options.folds)]
        whole = fitted.fit(mine, said[:, category.place])
        assert whole is not None
        weights[category.place], bias[category.place] = whole.weights, whole.bias
        told = [k for k, trace in enumerate(traces) if trace.said[category.place] >= 0]
        head, found = _calibrated(category, fitted, every, folds, mine, truth, traces, trace_folds, told)
        counts = {"positives": int(truth.sum()), "negatives": int((1 - truth).sum())}
        heads.append(msgspec.structs.replace(head, **counts, synthetic=int(synthetic[mine].sum())))
        held_out[category] = found
        families = _held_out_families(category, fitted, units, said[:, category.place], traces, told)
        if families:
            by_family[category] = families
    card = Card(
        name=name,
        version=_hash(
            msgspec.json.encode([options.folds, options.features, options.strength, WORD_SIZES, CHARACTER_SIZES])
        ),
        training=_labels_hash(units, traces, options.seed),
        words=fitted.words,
        characters=fitted.characters,
        heads=tuple(heads),
        figures=_figures(held_out) | _family_figures(by_family),
    )
    return Learned(WordModel(card, fitted.rarity, weights, bias), held_out, by_family)


def _is_learnable(said: NDArray[np.int64]) -> bool:
    return min(int((said == 1).sum()), int((said == 0).sum())) >= LEAST


def _labels_hash(units: Sequence[Unit], traces: Sequence[Labelled], seed: int) -> str:
    """Tells apart what was learned from: labels of steps and of whole traces."""
    said = [(trace.said, trace.group) for trace in traces]
    return _hash(msgspec.json.encode([[(unit.text, unit.said) for unit in units], said, seed]))


def _one_problem_each(groups: Sequence[str], traces: Sequence[Labelled]) -> tuple[list[str], list[Labelled]]:
    """The problems of units and traces, where problems that share a trace are one."""
    together = _together(traces)
    whole = [replace(trace, group=together.get(trace.group, trace.group)) for trace in traces]
    return [together.get(group, group) for group in groups], whole


def _together(traces: Sequence[Labelled]) -> dict[str, str]:
    """For problems that have a trace in common, word for word but for case and spaces, the first of them.

    The same trace under two problems must not teach a model and then test it.
    """
    first: dict[str, str] = {}
    found: dict[tuple[str, ...], str] = {}

    def root(group: str) -> str:
        while first.get(group, group) != group:
            group = first[group]
        return group

    for trace in traces:
        words = tuple(" ".join(" ".join(part).lower().split()) for part in (trace.thinking, trace.answer))
        mine = root(trace.group)
        other = root(found.setdefault(words, mine)) if any(words) else mine
        first[mine] = other
    return {group: root(group) for group in first}


def fold_of(groups: Sequence[str], folds: int) -> NDArray[np.int64]:
    """The part [n] of each row, by a hash of its problem."""
    return np.array([int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % folds for group in groups], np.int64)


@dataclass(frozen=True, slots=True)
class _Line:
    weights: Floats
    bias: float


class _Fitted:
    """The features of all texts, and fits of logistic regression on some of them."""

    def __init__(self, texts: Sequence[str], traces: Sequence[Labelled], options: Options) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        every = dict.fromkeys(texts)
        for trace in traces:
            every |= dict.fromkeys((*trace.thinking, *trace.answer))
        half = options.features // 2
        common: dict[str, Any] = {"sublinear_tf": True, "max_features": half, "dtype": np.float64}
        few = len(every) < 200
        word = TfidfVectorizer(ngram_range=WORD_SIZES, min_df=1 if few else 2, **common)
        character = TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTER_SIZES, min_df=1 if few else 3, **common)
        self._all = self._stacked(word.fit_transform(every), character.fit_transform(every))
        places = {text: place for place, text in enumerate(every)}
        self._matrix = self._all[[places[text] for text in texts]]
        self._parts = [
            tuple(np.array([places[text] for text in part], np.int64) for part in (trace.thinking, trace.answer))
            for trace in traces
        ]
        self.words = tuple(map(str, word.get_feature_names_out()))
        self.characters = tuple(map(str, character.get_feature_names_out()))
        self.rarity = np.concatenate([word.idf_, character.idf_])
        self.size = len(self.rarity)
        self._options = options

    def fit(self, rows: NDArray[np.int64], said: NDArray[np.int64]) -> _Line | None:
        """Weights that part the rows; None where they are all on one side."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        truth = said[rows]
        if len(np.unique(truth)) < 2:
            return None
        line = LogisticRegression(
            C=self._options.strength, class_weight="balanced", solver="liblinear", random_state=self._options.seed
        )
        matrix = self._matrix[rows]
        used = np.flatnonzero(matrix.getnnz(axis=0))  # what stands in none of the rows keeps the weight 0
        with threadpool_limits(1, "blas"):  # products of long vectors wake threads that wait for longer than they work
            line.fit(matrix[:, used], truth)
        weights = np.zeros(self.size)
        weights[used] = line.coef_[0]
        return _Line(weights, float(line.intercept_[0]))

    def raw(self, line: _Line, rows: NDArray[np.int64]) -> Floats:
        """Log-odds [rows] of units."""
        return np.asarray(self._matrix[rows] @ line.weights, np.float64) + line.bias

    def raw_of_parts(self, lines: Sequence[_Line | None]) -> list[list[tuple[Floats, Floats]]]:
        """For each line the log-odds of the steps of both parts of every trace; nothing for a line that is None."""
        out: list[list[tuple[Floats, Floats]]] = []
        for line in lines:
            raw = None if line is None else np.asarray(self._all @ line.weights, np.float64) + line.bias
            out.append([] if raw is None else [(raw[a], raw[b]) for a, b in self._parts])
        return out

    @staticmethod
    def _stacked(words: Any, characters: Any) -> Any:  # noqa: ANN401 - scipy's matrices
        from scipy.sparse import hstack  # type: ignore[import-untyped]

        return hstack([words, characters], format="csr")


def _calibrated(
    category: Category,
    fitted: _Fitted,
    every: Sequence[_Line | None],
    folds: NDArray[np.int64],
    mine: NDArray[np.int64],
    truth: NDArray[np.int64],
    traces: Sequence[Labelled],
    trace_folds: NDArray[np.int64],
    told: Sequence[int],
) -> tuple[Head, OutOfFold]:
    """Norm, share of the thinking and curve from scores that came of other problems; of traces, else of steps."""
    tops, numbers, kept = [], [], []
    by_fold = fitted.raw_of_parts(every)
    for k in told:
        if every[trace_folds[k]] is None:
            continue
        kept.append(k)
        raws = by_fold[trace_folds[k]][k]
        tops.append([_top(raw) for raw in raws])
        numbers.append([len(raw) for raw in raws])
    trace_truth = np.array([traces[k].said[category.place] for k in kept], np.int64)
    top, count = np.array(tops).reshape(-1, 2), np.array(numbers, np.float64).reshape(-1, 2)
    norm = fit_norm(top[trace_truth == 0], count[trace_truth == 0])
    with np.errstate(invalid="ignore"):
        above = (top - norm.base - norm.growth * np.log(np.maximum(count, 1))) / norm.spread
    share = best_share(above, trace_truth)
    raw = np.array([hybrid(a, b, share) for a, b in above])
    said = np.flatnonzero(~np.isnan(raw))  # a trace without words (tool calls alone) has no score to calibrate on
    kept, raw, trace_truth = [kept[k] for k in said], raw[said], trace_truth[said]
    groups, models = [traces[k].group for k in kept], [traces[k].model for k in kept]
    part_of = trace_folds[kept] if kept else np.empty(0, np.int64)
    if len(np.unique(trace_truth)) < 2 or min(np.bincount(trace_truth)) < LEAST:  # then of steps
        usable = np.array([every[fold] is not None for fold in folds[mine]], np.bool_)
        raw = np.full(len(mine), np.nan)
        for fold, line in enumerate(every):
            here = np.flatnonzero(folds[mine] == fold)
            if line is not None and len(here):
                raw[here] = (fitted.raw(line, mine[here]) - norm.base) / norm.spread
        raw, trace_truth, part_of = raw[usable], truth[usable], folds[mine][usable]
        groups, models = [str(place) for place in mine[usable]], [SYNTHETIC] * int(usable.sum())
    curve = fit_curve(raw, trace_truth)
    head = Head(category=category.value, curve=curve, norm=norm, thinking=share)
    return head, OutOfFold(crossed(raw, trace_truth, part_of), raw, trace_truth, tuple(groups), tuple(models))


def _held_out_families(
    category: Category,
    fitted: _Fitted,
    units: Sequence[Unit],
    said: NDArray[np.int64],
    traces: Sequence[Labelled],
    told: Sequence[int],
) -> dict[str, OutOfFold]:
    """What a model that saw no trace of a family gave its traces; only families with both sides, and of two or more."""
    families = {k: family_of(traces[k].model) for k in told}
    present = sorted({family for family in families.values() if family})
    if len(present) < 2:
        return {}
    of_unit = np.array([family_of(traces[unit.trace].model) if unit.trace >= 0 else "" for unit in units])
    out: dict[str, OutOfFold] = {}
    for family in present:
        mine = [k for k in told if families[k] == family and (traces[k].thinking or traces[k].answer)]
        truth = np.array([traces[k].said[category.place] for k in mine], np.int64)
        line = fitted.fit(np.flatnonzero((said >= 0) & (of_unit != family)), said)
        if line is None or min(np.bincount(truth, minlength=2)) < LEAST:
            continue
        (raws,) = fitted.raw_of_parts([line])
        raw = np.array([hybrid(_top(raws[k][0]), _top(raws[k][1]), 0.5) for k in mine])  # nothing fitted on this family
        groups, models = tuple(traces[k].group for k in mine), tuple(traces[k].model for k in mine)
        out[family] = OutOfFold(np.full(len(raw), np.nan), raw, truth, groups, models)
    return out


def family_of(model: str) -> str:
    """The family in a model's name: the words before its first number: "qwen" of "qwen3-8b"."""
    name = model.rsplit("/", 1)[-1].lower()
    letters = "".join(character if character.isalpha() else " " for character in name).split()
    return letters[0] if letters else ""


def _family_figures(by_family: dict[Category, dict[str, OutOfFold]]) -> dict[str, float]:
    """The lowest AUROC of a family that was held out, by category."""
    return {
        f"{category.name.lower()}_family_auroc": min(auc(found.raw, found.truth) for found in families.values())
        for category, families in by_family.items()
    }


def _top(raw: Floats) -> float:
    return float(top_of(raw[:, None])[0])


def _figures(held_out: dict[Category, OutOfFold]) -> dict[str, float]:
    """AUROC, average precision and ECE of out-of-fold scores by category."""
    out: dict[str, float] = {}
    for category, found in held_out.items():
        name = category.name.lower()
        known = ~np.isnan(found.scores)
        out[f"{name}_auroc"] = auc(found.raw, found.truth)
        out[f"{name}_ap"] = average_precision(found.raw, found.truth)
        out[f"{name}_ece"] = ece(found.scores[known], found.truth[known]) if known.any() else math.nan
        out[f"{name}_labels"] = float(len(found.truth))
    return out


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
