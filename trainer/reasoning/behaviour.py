"""How a text reasons, counted: turning back, checking, repeating itself, and effort against difficulty.

These are counts of phrases, not of thoughts: they show a trend over a training, on one kind of text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.reasoning.segment import Span, segment

_BACKTRACKING = re.compile(
    r"\b(?:wait\b|hmm+\b|hold on\b|oops\b|scratch that\b|on second thou?ght\b|no, (?:that|this|it)(?:'s| is)\b"
    r"|(?:that|this|which|it) (?:(?:is|was|seems|looks) (?:wrong|incorrect|not right|not correct)"
    r"|(?:isn't|can't be|cannot be) (?:right|correct))\b"
    r"|actually, (?:no|that|this|it|let|i)\b|i (?:made|see) (?:a|an|my) (?:mistake|error)"
    r"|let(?:'s| me| us) (?:try|start|go back|back up|redo|reconsider|rethink|correct)\b"
    r"|(?:try|take) (?:again|another|a different)\b|start over\b)",
    re.IGNORECASE,
)
_VERIFICATION = re.compile(
    r"\b(?:let(?:'s| me| us) (?:double[- ]?check|check|verify|confirm|make sure|test|plug)|double[- ]check(?:ing)?\b"
    r"|(?:to|we can|i(?:'ll| will| can| should)) (?:check|verify|confirm)\b|verif(?:y|ying|ication)\b|as a check\b"
    r"|sanity check|(?:plug|substitut)(?:ging|ing)? (?:it |this |that |them )?back|^check(?:ing)?\b[: ])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Counts of one text. `repeated` are lines that stand in it before, word for word."""

    steps: int
    words: int
    backtracking: int
    verification: int
    repeated: int

    @property
    def repeated_share(self) -> float:
        """Share of lines that repeat an earlier one; 0 without lines."""
        return self.repeated / self.steps if self.steps else 0.0


@dataclass(frozen=True, slots=True)
class Effort:
    """Mean effort at one level of difficulty."""

    difficulty: float
    mean: float
    texts: int


@dataclass(frozen=True, slots=True)
class EffortByDifficulty:
    """Effort per level, and Spearman's rank correlation of effort with difficulty (NaN where either is constant)."""

    levels: tuple[Effort, ...]
    correlation: float


def behaviour(text: str) -> Behaviour:
    """The counts of a text; a line counts once for verification, each phrase once for turning back."""
    lines = [span.of(text) for span in segment(text)]
    seen: Counter[str] = Counter(" ".join(line.lower().split()) for line in lines)
    return Behaviour(
        steps=len(lines),
        words=len(text.split()),
        backtracking=sum(1 for line in lines for _ in _BACKTRACKING.finditer(line)),
        verification=sum(bool(_VERIFICATION.search(line)) for line in lines),
        repeated=sum(times - 1 for times in seen.values()),
    )


def backtracking_in(text: str, start: int = 0, end: int | None = None) -> Span | None:
    """The first phrase of text[start:end] that turns back; None when there is none."""
    found = _BACKTRACKING.search(text, start, len(text) if end is None else end)
    return None if found is None else Span(found.start(), found.end())


def effort_by_difficulty(effort: Sequence[float], difficulty: Sequence[float]) -> EffortByDifficulty:
    """Mean effort (tokens, say) at each level of difficulty (a level, or 1 - the share of right traces); both [n]."""
    if len(effort) != len(difficulty):
        raise ValueError(f"{len(effort)} efforts for {len(difficulty)} difficulties")
    spent, hard = np.asarray(effort, dtype=np.float64), np.asarray(difficulty, dtype=np.float64)
    levels = tuple(
        Effort(float(level), float(spent[hard == level].mean()), int((hard == level).sum()))
        for level in np.unique(hard)
    )
    return EffortByDifficulty(tuple(levels), _spearman(spent, hard))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    x, y = _ranks(a), _ranks(b)
    if x.size < 2 or x.std() == 0 or y.std() == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [n] from 0, equal values sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2)[place]
