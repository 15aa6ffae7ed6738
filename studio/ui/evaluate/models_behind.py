"""The problems behind a cell, a point or a square of a comparison, as rows of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from studio.store.evaluation_rows import Key
from studio.store.evaluations import Sample, Solved
from studio.ui.evaluate.rows_model import TIP, RowsModel
from studio.ui.widgets.parts import plural
from trainer.reasoning.grids import read_grid

HEADS = ("", "Problem", "Answer", "Reference", "Thinking", "Graders")
MARKS = {True: "✓", False: "✗", None: "?"}
WORDS = {True: "right", False: "wrong", None: "not decided"}
SHOWN = 160


@dataclass(frozen=True, slots=True)
class Tried:
    """A sample with whose it is ("" where only one model is shown)."""

    sample: Sample
    of: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A problem with the samples that are shown of it; `share` of them right, None where none could be graded."""

    solved: Solved
    tried: tuple[Tried, ...]
    share: float | None

    @property
    def mark(self) -> str:
        """✓, ✗, ?, or how many of how many."""
        if self.share in (0.0, 1.0, None):
            return MARKS[None if self.share is None else bool(self.share)]
        return f"{self.share:.0%}"


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind something: its name, the suite, and the lines; `key` where it is a whole cell."""

    title: str
    suite: str
    lines: tuple[Line, ...]
    key: Key | None = None


class Wanted(StrEnum):
    """Which of the lines are shown."""

    ALL = "all"
    RIGHT = "right"
    WRONG = "wrong"
    PART = "right in part"
    UNDECIDED = "not decided"
    DIFFER = "graders differ"
    CUT = "cut short"


_TESTS: dict[Wanted, Callable[[Line], bool]] = {
    Wanted.ALL: lambda _line: True,
    Wanted.RIGHT: lambda line: line.share == 1.0,
    Wanted.WRONG: lambda line: line.share == 0.0,
    Wanted.PART: lambda line: line.share is not None and 0.0 < line.share < 1.0,
    Wanted.UNDECIDED: lambda line: any(each.sample.correct is None for each in line.tried),
    Wanted.DIFFER: lambda line: any(each.sample.graders_differ for each in line.tried),
    Wanted.CUT: lambda line: any(each.sample.truncated for each in line.tried),
}


def lines_of(solved: Iterable[Solved]) -> tuple[Line, ...]:
    """Problems of one cell."""
    return tuple(Line(one, tuple(Tried(each) for each in one.samples), one.share) for one in solved)


def kept(behind: Behind, wanted: Wanted) -> tuple[Line, ...]:
    """The lines that are wanted."""
    return tuple(line for line in behind.lines if _TESTS[wanted](line))


def graders(sample: Sample) -> str:
    """What the graders say where they differ; else nothing."""
    if not sample.graders_differ:
        return ""
    return f"strict {MARKS[sample.strict]} lenient {MARKS[sample.lenient]}"


class LinesModel(RowsModel):
    """Lines as rows."""

    def __init__(self) -> None:
        super().__init__(HEADS, numbers=(4,))

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return self._rows

    def texts(self, row: Line) -> tuple[str, ...]:
        """Those of HEADS."""
        return _texts(row)

    def key(self, row: Line, column: int) -> float | str | None:
        """The share that is right, and tokens, by their numbers."""
        if column == 0:
            return row.share
        return thought(row) if column == 4 else super().key(row, column)

    def tip(self, row: Line, column: int) -> str:
        """The whole problem."""
        return row.solved.prompt[:TIP] if column == 1 else super().tip(row, column)

    def spoken(self, row: Line) -> str:
        """Right or wrong, and the problem."""
        state = WORDS[None if row.share is None else bool(row.share)] if len(row.mark) == 1 else row.mark
        return f"{state}: {name_of(row)}"


def _texts(line: Line) -> tuple[str, ...]:
    first = line.tried[0].sample if line.tried else None
    answers = dict.fromkeys(short(line, each.sample.answer or "none") for each in line.tried)
    differing = sum(each.sample.graders_differ for each in line.tried)
    said = graders(first) if first is not None and len(line.tried) == 1 else ""
    tokens = thought(line)
    return (
        line.mark,
        name_of(line),
        ", ".join(list(answers)[:4]) + (f" and {len(answers) - 4} more" if len(answers) > 4 else ""),
        short(line, line.solved.reference or ""),
        "" if tokens is None else f"{tokens:,.0f}",
        said or (f"differ in {plural(differing, 'sample')}" if differing else ""),
    )


def thought(line: Line) -> float | None:
    """Tokens of thinking, on average over its samples; None where there is none."""
    counts = [each.sample.thinking_tokens for each in line.tried if each.sample.number >= 0]
    return sum(counts) / len(counts) if counts else None


def name_of(line: Line) -> str:
    """The problem in a line; a task of grids by its name."""
    detail = line.tried[0].sample.detail if line.tried else {}
    if "task" not in detail:
        return _flat(line.solved.prompt)
    number = line.solved.row.rpartition("/")[2].partition(":")[0]
    which = f", test input {int(number) + 1} of {detail['inputs']}" if number.isdigit() and detail["inputs"] > 1 else ""
    return f"Task {detail['task']}{which}"


def short(line: Line, text: str) -> str:
    """An answer in a line; a grid by its size."""
    found = read_grid(text) if line.tried and "task" in line.tried[0].sample.detail else None
    return _flat(text) if found is None else f"{len(found)} x {len(found[0])}"


def _flat(text: str) -> str:
    """One line, cut."""
    flat = " ".join(text[: 2 * SHOWN].split())
    return flat if len(flat) <= SHOWN else f"{flat[: SHOWN - 1]}…"
