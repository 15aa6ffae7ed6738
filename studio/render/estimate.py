"""How large a formula will be, before it is drawn: its place is reserved so that little moves when it comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from studio.render.formula import Formula

_BRACED = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_FRACTION = re.compile(rf"\\[dtc]?frac\s*{_BRACED}\s*{_BRACED}")
_SHORT_FRACTION = re.compile(r"\\[dtc]?frac\s*(\w)\s*(\w)")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[^{}]*\}(?:\{[^{}]*\})?")
_WORDY = re.compile(rf"\\(?:text|mbox|mathrm|operatorname|mathbf|textbf|boxed|overline|sqrt)\s*{_BRACED}")
_SILENT = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits|[!,;: ])|[{}$^_&]|\\(?=[{}])")
_MACRO = re.compile(r"\\[A-Za-z]+")
_SPACED = re.compile(r"[=<>+\-]|\\(?:le|ge|leq|geq|cdot|times|to|equiv|approx|pm|implies|Rightarrow)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Extent:
    """Width, and height above and below the baseline, in logical pixels."""

    width: float
    ascent: float
    descent: float


@lru_cache(maxsize=4_096)
def estimated(formula: Formula, em: float) -> Extent:
    """A guess for a formula at this em size in logical pixels."""
    rows = [_row(row) for row in re.split(r"\\\\(?:\[[^\]]*\])?", formula.latex)]
    width = max(row.width for row in rows)
    if len(rows) == 1:
        return Extent(max(width, 0.4) * em, rows[0].ascent * em, rows[0].descent * em)
    half = sum(row.ascent + row.descent + 0.15 for row in rows) / 2
    return Extent(width * em, (half + 0.25) * em, (half - 0.25) * em)


def _row(latex: str) -> Extent:
    bare = _ENVIRONMENT.sub("", latex)
    tall = _FRACTION.search(bare) is not None or _SHORT_FRACTION.search(bare) is not None
    deep = "_" in bare
    for _ in range(3):
        bare = _FRACTION.sub(lambda found: max(found.group(1), found.group(2), key=len), bare)
        bare = _SHORT_FRACTION.sub(r"\1", bare)
        bare = _WORDY.sub(r"\1", bare)
    gaps = len(_SPACED.findall(bare)) * 0.5
    raised = len(re.findall(r"[\^_]", bare)) * 0.2
    bare = _MACRO.sub("m", _SILENT.sub("", bare))
    width = len(bare.replace(" ", "")) * 0.53 + gaps - raised
    if tall:
        return Extent(width, 1.35, 0.7)
    return Extent(width, 0.85 if "^" in latex else 0.7, 0.3 if deep else 0.12)
