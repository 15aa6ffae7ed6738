"""What a helper process does for maths: LaTeX to SVG (ziamath) to alpha values (QtSvg). Imported in helpers only."""

from __future__ import annotations


def draw(order: list[tuple[str, bool, float]]) -> list[tuple[int, int, float, bytes, str]]:
    """Draw formulas (LaTeX, display, pixels an em); width, height, ascent, alpha and trouble of each, in order."""
    return [_draw(*each) for each in order]


def _draw(latex: str, display: bool, em: float) -> tuple[int, int, float, bytes, str]:
    raise NotImplementedError
