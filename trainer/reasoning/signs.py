"""What a text shows: its characters without those that show nothing, look-alikes as plain ones. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SILENT = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
                    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]")  # fmt: skip
"""Zero-width signs, soft hyphens, marks of direction, fillers and variation selectors."""


def shown(text: str) -> Iterator[tuple[int, str]]:
    """Place and plain form (NFKC: one or several characters) of every character that shows something."""
    for place, character in enumerate(text):
        if character.isascii():
            yield place, character
        elif not SILENT.match(character):
            yield place, unicodedata.normalize("NFKC", character)
