"""Curves as a small SVG that reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 60, 40, 230, 50
COLOURS = ("#2f7de1", "#d9822b", "#8e5bd0", "#2e9e6b", "#c23b54", "#6b7280")


@dataclass(frozen=True, slots=True)
class Line:
    """A curve with its name (empty: not in the legend) and the number of its colour."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int


def line_picture(title: str, x_name: str, y_name: str, lines: Sequence[Line]) -> str:
    """The picture's text; y runs from 0 to 1."""
    right = max((x for line in lines for x, _ in line.points), default=1.0) or 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> str:
        return f"{LEFT + x / right * width:.1f},{TOP + (1 - y) * height:.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#111827">{escape(title)}</text>',
    ]
    for tick in range(6):
        y = TOP + (1 - tick / 5) * height
        out.append(f'<line x1="{LEFT}" x2="{LEFT + width}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#374151">{tick / 5:.1f}</text>')
        x = LEFT + tick / 5 * width
        out.append(
            f'<text x="{x}" y="{TOP + height + 18}" text-anchor="middle" fill="#374151">{right * tick / 5:g}</text>'
        )
    out.append(
        f'<text x="{LEFT + width / 2}" y="{HEIGHT - 12}" text-anchor="middle" fill="#374151">{escape(x_name)}</text>'
    )
    out.append(
        f'<text x="16" y="{TOP + height / 2}" text-anchor="middle" fill="#374151" '
        f'transform="rotate(-90 16 {TOP + height / 2})">{escape(y_name)}</text>'
    )
    for number, line in enumerate(lines):
        colour = COLOURS[line.colour % len(COLOURS)]
        points = " ".join(place(x, y) for x, y in line.points)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if line.name:
            y = TOP + 14 + 20 * sum(bool(other.name) for other in lines[:number])
            x = LEFT + width + 16
            out.append(f'<line x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>')
            out.append(f'<text x="{x + 28}" y="{y}" fill="#111827">{escape(line.name)}</text>')
    return "\n".join([*out, "</svg>", ""])
