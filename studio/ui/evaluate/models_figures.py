"""Curves of the Models tab as values: points with intervals, and the problems behind each of them. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.exchange.result_names import labels
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell, Solved
from studio.store.plot import wilson
from studio.ui.evaluate.models_behind import Behind, Line, Tried, lines_of
from studio.ui.evaluate.models_chart import Drawing, Point, Series
from studio.ui.evaluate.models_desk import title_of
from trainer.contract.specs.evaluate import ComputePreset, Suite, heading_of
from trainer.reasoning import evaluation as figures
from trainer.reasoning.metrics import Interval

Opens = Behind | Key
BINS = 10
UNKNOWN = "-"  # what stands for a step without a score


@dataclass(frozen=True, slots=True)
class Curves:
    """A drawing, and what each of its points opens, by series and point."""

    drawing: Drawing
    opens: tuple[tuple[Opens, ...], ...]


def thinking(cells: Sequence[Cell], of: Cell) -> Curves:
    """Accuracy against tokens of thinking: each model and strategy on the suite, caps and presets joined."""
    groups: dict[str, list[Cell]] = {}
    mine_all = [cell for cell in cells if cell.key.suite == of.key.suite and cell.value.value == cell.value.value]
    named = labels([cell.key for cell in mine_all], caps=False)
    mixed = len({bool(column.compute) for _, column in named.values()}) > 1
    for cell in mine_all:
        row, column = named[cell.key]
        by_hand = "by hand" if mixed and not column.compute else ""
        groups.setdefault(", ".join(filter(None, [row, by_hand, column.apart])), []).append(cell)
    series, opens = [], []
    for name, mine in groups.items():
        mine.sort(key=lambda cell: cell.thinking_tokens)
        series.append(Series(name, tuple(_point(c.thinking_tokens, c.value, _thought(c)) for c in mine)))
        opens.append(tuple(cell.key for cell in mine))
    title = f"accuracy against thinking, {heading_of(of.key.suite)}"
    return Curves(Drawing(title, "tokens of thinking", of.figure, tuple(series)), tuple(opens))


def samples(key: Key, solved: Sequence[Solved]) -> Curves:
    """pass@k, maj@k, best-of-k and weighted@k for k = 1, 2, 4 ... up to the least number of samples."""
    drawn = [tuple(each for each in one.samples if each.number >= 0) for one in solved]
    tried = [
        [figures.Tried(s.correct, int(s.detail.get("group", figures.NO_GROUP)), s.detail.get("score")) for s in some]
        for some in drawn
    ]
    ways: dict[str, Callable[[Sequence[figures.Samples], int], figures.Floats]] = {
        "pass@k": figures.passes,
        "maj@k": figures.majorities,
        "best-of-k": figures.bests,
        "weighted@k": figures.weighted,
    }
    series, opens = [], []
    for name, way in ways.items():
        points: list[Point] = []
        behind: list[Opens] = []
        for k in _sizes(min((len(some) for some in drawn), default=0)):
            values = way(tried, k)
            if np.isnan(values).all():
                continue
            figure = name.replace("k", str(k), 1) if name != "best-of-k" else f"best-of-{k}"
            points.append(_point(k, figures.mean_interval(values), figure))
            lines = tuple(
                Line(one, tuple(map(Tried, some[:k])), None if math.isnan(value) else float(value))
                for one, some, value in zip(solved, drawn, values.tolist(), strict=True)
            )
            behind.append(Behind(f"{title_of(key)} · {figure}", key.suite, lines))
        series.append(Series(name, tuple(points)))
        opens.append(tuple(behind))
    title = f"more samples, {title_of(key)}"
    return Curves(Drawing(title, "samples a problem", "share of problems", tuple(series)), tuple(opens))


def first_errors(key: Key, solved: Sequence[Solved]) -> Curves:
    """ProcessBench: F1 of the first error by subset."""
    groups: dict[str, list[Solved]] = {}
    for one in solved:
        groups.setdefault(str(one.samples[0].detail.get("subset", "")), []).append(one)
    points, opens = [], []
    for place, (name, mine) in enumerate(sorted(groups.items())):
        details = [one.samples[0].detail for one in mine]
        columns = [[detail[field] for detail in details] for field in ("predicted", "labelled", "subset")]
        points.append(_point(place, figures.process_bench_interval(*columns), f"{name}: F1"))
        opens.append(Behind(f"{title_of(key)} · {name}", key.suite, lines_of(mine)))
    drawing = Drawing(
        f"first errors by subset, {title_of(key)}", "subset", "F1",
        (Series(key.prm or key.model, tuple(points), joined=False),), ticks=tuple(sorted(groups)),
    )  # fmt: skip
    return Curves(drawing, (tuple(opens),))


def calibration(key: Key, solved: Sequence[Solved]) -> Curves:
    """Score of a step against the share of steps that are right, on the steps whose truth is known."""
    sums, right = np.zeros(BINS), np.zeros(BINS)
    counts = np.zeros(BINS, np.int64)
    members: list[dict[str, Solved]] = [{} for _ in range(BINS)]
    for one in solved:
        for score, is_right in known_steps(key.suite, one):
            place = max(0, min(int(score * BINS), BINS - 1))
            sums[place] += score
            right[place] += is_right
            counts[place] += 1
            members[place][one.row] = one
    points, opens = [], []
    for place in np.flatnonzero(counts).tolist():
        count = int(counts[place])
        low, high = wilson(float(right[place]), count)
        share = float(right[place]) / count
        value = Interval(share, low, high, 0, count)
        told = f"scores from {place / BINS:.1f} to {(place + 1) / BINS:.1f}, {count:,} steps"
        points.append(_point(float(sums[place]) / count, value, told))
        opens.append(Behind(f"{title_of(key)} · {told}", key.suite, lines_of(members[place].values())))
    title = f"calibration of steps, {title_of(key)}"
    series = (Series(key.prm or key.model, tuple(points)),)
    return Curves(Drawing(title, "score of a step", "share right", series, diagonal=True), (tuple(opens),))


def known_steps(suite: str, solved: Solved) -> list[tuple[float, bool]]:
    """Scores of the steps whose truth is known, with it.

    In ProcessBench these are the steps before the first error (right) and the error (wrong): what follows was never
    judged. PRMBench knows every step.
    """
    detail = solved.samples[0].detail
    scores = str(detail.get("scores", "")).split()
    if suite == Suite.PRMBENCH:
        truth = [each == "1" for each in str(detail["truth"])]
    else:
        first = int(detail["labelled"])
        truth = [True] * len(scores) if first < 0 else [True] * first + [False]
    return [(float(score), each) for score, each in zip(scores, truth, strict=False) if score != UNKNOWN]


def _sizes(most: int) -> list[int]:
    """1, 2, 4 ... and the most."""
    powers = [1 << place for place in range(most.bit_length())] if most > 0 else []
    return sorted({*powers, most} if most else set())


def _thought(cell: Cell) -> str:
    cap = "no cap" if cell.key.budget is None else f"cap {cell.key.budget:,}"
    if cell.key.compute != ComputePreset.BY_HAND:
        cap = f"{cell.key.compute} compute, {cap}"
    return f"{cap}, {cell.thinking_tokens:,.0f} tokens thought, {cell.truncated:.0%} cut"


def _point(x: float, value: Interval, told: str) -> Point:
    around = f" [{value.low:.1%}, {value.high:.1%}]" if value.low == value.low else ""
    return Point(float(x), value.value, value.low, value.high, f"{told}: {value.value:.1%}{around}")
