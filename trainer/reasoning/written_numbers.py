"""Numbers as texts write them: digits with separators, fractions, powers of ten, scales, percent signs. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

SCALE = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LETTERS = {"k": 10**3, "m": 10**6, "bn": 10**9, "b": 10**9}
POWER = r"[eE][-+−]?\d{1,3}\b|\s?(?:[×x*·]|\\times|\\cdot)\s?10\s?(?:\^\s?\{?\s?[-−+]?\d{1,3}\s?\}?|[⁻⁰¹²³⁴-⁹]+)"
NUMBER = re.compile(
    # Letters before it make it part of a name; signs of scripts that write without spaces do not.
    r"(?<![A-Za-z0-9_.,\u00c0-\u052f])(?P<sign>[-−])?\s?[$€£¥]?\s?"
    r"(?:(?P<whole>\d+)\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|(?P<over>\d+)\s*/\s*(?P<under>\d+)(?![\d/])"
    r"|(?P<comma>\d{1,3}(?:\.\d{3})*,\d{1,2}(?=\s?(?:€|%|°|(?:EUR|Euros?|kg|km|cm|mm|m|g|l|h|Prozent)\b)))"
    r"|(?P<plain>\d{1,3}(?:[,\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+))"
    rf"(?P<power>{POWER})?"
    r"(?:\s*(?P<scale>hundred|thousand|million|billion|trillion|k|bn|(?<=\d)(?-i:M))\b)?"
    r"\s*(?P<percent>\\?%|percent\b|per cent\b)?",
    re.IGNORECASE,
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def number_of(match: re.Match[str]) -> Fraction | None:
    """The value of a number found by NUMBER, without its percent sign; None for a division by zero."""
    part = match.groupdict()
    if part["top"]:
        if int(part["bottom"]) == 0:
            return None
        found = int(part["whole"]) + Fraction(int(part["top"]), int(part["bottom"]))
    elif part["over"]:
        if int(part["under"]) == 0:
            return None
        found = Fraction(int(part["over"]), int(part["under"]))
    else:
        found = Fraction(digits_of(part)) * Fraction(10) ** _power(part["power"])
    scale = (part["scale"] or "").lower()
    found *= SCALE.get(scale, _LETTERS.get(scale, 1))
    return -found if part["sign"] else found


def digits_of(part: dict[str, str | None]) -> str:
    """The digits of a number with a point before its decimals, without separators of thousands."""
    if part["comma"]:
        return part["comma"].replace(".", "").replace(",", ".")
    return (part["plain"] or "").replace(",", "").replace("\u202f", "")


def _power(text: str | None) -> int:
    """The power of ten of "e-4" or "× 10^-4"; 0 without one."""
    if not text:
        return 0
    plain = text.translate(_RAISED).replace("−", "-")
    behind = re.search(r"(?:[eE]|10\s?\^?\s?\{?\s?)([-+]?\d+)\s?\}?$", plain)
    return int(behind.group(1)) if behind else 0
