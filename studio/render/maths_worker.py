"""What a helper process does for maths: LaTeX to SVG (ziamath) to alpha values (QtSvg). Imported in helpers only."""

from __future__ import annotations

import math
import re

import ziamath  # noqa: TID253 - this module is imported in helpers only
from ziamath.tex import tex2mml  # noqa: TID253

from studio.render import quick_maths
from studio.render.latex import adapted

# isort: split
# Once PySide6 is there, it reads the source of every module that is imported: what needs no Qt comes first.
from PySide6.QtCore import QByteArray, QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

quick_maths.install()
ziamath.config.svg2 = False  # QtSvg draws <symbol>/<use> wrongly, without an error

LARGEST = 4_000  # device pixels a side
_UNKNOWN = re.compile(r">\s*(\\[A-Za-z]+)")


class CannotDrawError(Exception):
    """Why a formula cannot be drawn."""


def warm_up() -> None:
    """Draw something of most kinds, which the first formula of a window would else wait for (20 ms)."""
    draw([(r"\sum_{k=1}^{n} \frac{\sqrt{x}}{2} \le (a)", False, 16.0)])


def draw(order: list[tuple[str, bool, float]]) -> list[tuple[int, int, float, bytes, str]]:
    """Draw formulas (LaTeX, display, pixels an em); width, height, ascent, alpha and trouble of each, in order."""
    return [_attempted(*each) for each in order]


def _attempted(latex: str, display: bool, em: float) -> tuple[int, int, float, bytes, str]:
    try:
        return (*_drawn(latex, display, em), "")
    except CannotDrawError as error:
        return 0, 0, 0.0, b"", str(error)
    except RecursionError:
        return 0, 0, 0.0, b"", "nested too deeply"
    except Exception as error:  # the libraries raise whatever they meet
        return 0, 0, 0.0, b"", f"{type(error).__name__}: {error}"[:200]


def _drawn(latex: str, display: bool, em: float) -> tuple[int, int, float, bytes]:
    known = adapted(latex)
    mathml = tex2mml(known, inline=not display)
    if unknown := _UNKNOWN.search(mathml):
        raise CannotDrawError(f"unknown command {unknown.group(1)}")
    formula = ziamath.Math(mathml, size=em)
    renderer = QSvgRenderer(QByteArray(formula.svg().encode()))
    box = renderer.viewBoxF()
    if not renderer.isValid() or box.width() <= 0 or box.height() <= 0:
        raise CannotDrawError("it has no size")
    ascent = math.ceil(-box.top())
    width, height = math.ceil(box.width()), ascent + math.ceil(box.bottom())
    if not 0 < width <= LARGEST or not 0 < height <= LARGEST:
        raise CannotDrawError("it is empty or too large")
    image = QImage(width, height, QImage.Format.Format_Alpha8)
    image.fill(0)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter, QRectF(0, ascent + box.top(), box.width(), box.height()))
    painter.end()
    return width, height, float(ascent), _packed(image, width, height)


def _packed(image: QImage, width: int, height: int) -> bytes:
    """Rows without the padding that QImage puts at their ends."""
    data, line = bytes(image.constBits()), image.bytesPerLine()
    if not any(data):
        raise CannotDrawError("nothing would be seen")
    return data if line == width else b"".join(data[y * line : y * line + width] for y in range(height))
