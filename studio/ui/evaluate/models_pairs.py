"""Two cells on the problems of both, with the problems in each square of the table. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from studio.store import evaluations
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Solved
from studio.ui.evaluate.models_behind import Behind, Line, Tried
from trainer.contract.specs.evaluate import heading_of
from trainer.reasoning.evaluation import Comparison


@dataclass(frozen=True, slots=True)
class Square:
    """Problems that went alike for both models."""

    name: str
    behind: Behind


@dataclass(frozen=True, slots=True)
class Pairs:
    """The comparison and its squares: four where every problem is right or wrong, else three."""

    comparison: Comparison
    squares: tuple[Square, ...]


def read_pairs(c: Connection, left: Key, right: Key, names: tuple[str, str]) -> Pairs:
    """Raises NotFoundError where the two share no problem."""
    comparison = evaluations.compare(c, left, right)
    ours, theirs = ({one.row: one for one in evaluations.problems(c, key)} for key in (left, right))
    shared = [
        (ours[row], theirs[row])
        for row in ours
        if row in theirs and ours[row].share is not None and theirs[row].share is not None
    ]
    if comparison.table is not None:
        wanted = (
            ("both right", 1.0, 1.0),
            (f"only {names[0]}", 1.0, 0.0),
            (f"only {names[1]}", 0.0, 1.0),
            ("neither", 0.0, 0.0),
        )
        groups = [
            (name, [pair for pair in shared if (pair[0].share, pair[1].share) == (a, b)]) for name, a, b in wanted
        ]
    else:
        signs = ((f"{names[0]} more often right", 1), (f"{names[1]} more often right", -1), ("equally often right", 0))
        groups = [(name, [pair for pair in shared if _sign(*pair) == sign]) for name, sign in signs]
    suite = heading_of(left.suite)
    squares = tuple(
        Square(name, Behind(f"{suite} · {name}", left.suite, tuple(_line(*pair, names) for pair in pairs)))
        for name, pairs in groups
    )
    return Pairs(comparison, squares)


def told(found: Pairs, names: tuple[str, str]) -> str:
    """The outcome in sentences."""
    one = found.comparison
    left, right = names
    lines = [
        f"On {one.problems:,} problems that both tried: {left} {one.left.value:.1%}, {right} {one.right.value:.1%}.",
        f"{right} minus {left}: {100 * one.difference.value:+.1f} points "
        f"[{100 * one.difference.low:+.1f}, {100 * one.difference.high:+.1f}], 95 % over problems.",
    ]
    if one.table is None:
        lines.append("A problem counts by its share of right samples, so McNemar's test does not apply.")
    else:
        apart = one.table.left_only + one.table.right_only
        lines.append(f"McNemar's exact test on the {apart:,} problems that only one has right: p = {one.table.p:.2g}.")
    if one.difference.holds_zero:
        lines.append("The interval holds 0: these problems do not tell which of the two is better.")
    return "\n".join(lines)


def _sign(left: Solved, right: Solved) -> int:
    assert left.share is not None
    assert right.share is not None
    return (left.share > right.share) - (left.share < right.share)


def _line(left: Solved, right: Solved, names: tuple[str, str]) -> Line:
    tried = tuple(Tried(each, name) for one, name in zip((left, right), names, strict=True) for each in one.samples)
    shares = {left.share, right.share}
    return Line(left, tried, shares.pop() if len(shares) == 1 else 0.5 * ((left.share or 0.0) + (right.share or 0.0)))
