"""A shorter way through ziamath to the very same pictures. Imported in helpers only.

ziamath sets every row twice, first for the height to which brackets and arrows stretch, and each row in a row doubles
the work again. Where nothing in a row can stretch, nobody asks for that height. This halves the time of drawing.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from xml.etree import ElementTree as ET

from ziamath import operators  # noqa: TID253 - this module is imported in helpers only
from ziamath.nodes.mrow import Mrow  # noqa: TID253

# What makes operators of its own, or hands a height on in other ways, is set as ziamath does it.
_PLAIN = frozenset(
    ["mrow", "mi", "mn", "mo", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac", "msqrt", "mroot", "munderover"]
)
library_height = Mrow._get_height_nostretch


def install() -> None:
    """Have ziamath go the shorter way from now on."""
    Mrow._get_height_nostretch = _height


def _height(row: object, line: list[ET.Element], **given: Any) -> tuple[float, float]:  # noqa: ANN401 - passed on
    if all(_is_rigid(part) for child in line for part in child.iter()):
        return 0.0, 0.0
    lowest, highest = library_height(row, line, **given)
    return lowest, highest


def _is_rigid(element: ET.Element) -> bool:
    """Whether this element, apart from its children, is as high in any row."""
    if element.tag not in ("mo", "mi"):
        return element.tag in _PLAIN
    asked = element.get("stretchy")
    return asked == "false" or (asked is None and (element.text or "").strip() not in _stretching())


@cache
def _stretching() -> frozenset[str]:
    """The operators that stretch in some position."""
    return frozenset(text for (text, _), given in operators.operators.items() if given.get("stretchy") == "true")
