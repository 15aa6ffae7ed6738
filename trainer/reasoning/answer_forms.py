"""Values that are no plain number: calendar dates, chemical formulae, an answer that is one formula, a name. Pure.

`date_of` and `substance` give a form in which equal values are equal texts; the others find where a text says them.
"""

from __future__ import annotations

import re

from trainer.reasoning.segment import Span

LONGEST_FORMULA = 80  # characters of an answer that is one formula
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    "december",
)
_MONTH = r"(?P<{0}>" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _MONTHS) + r")\.?"
DATE = re.compile(
    r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b"
    r"|\b" + _MONTH.format("name") + r"\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?P<year2>\d{4}))?\b"
    r"|\b(?P<day3>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?" + _MONTH.format("name3") + r"(?:,?\s+(?P<year3>\d{4}))?\b",
    re.IGNORECASE,
)
_ELEMENT = (
    r"(?:A[cglmrstu]|B[aeikr]?|C[adelorsu]?|F[er]?|Ga|Ge|H[eg]?|I[nr]?|K|L[aiu]|M[gno]|N[aei]?|Os?|P[bdtu]?"
    r"|R[abu]|S[bceinr]?|T[ai]|U|V|W|Xe|Y|Z[nr])"
)
_MOLECULE = rf"(?:\d*\s?(?:(?:{_ELEMENT}|\((?:{_ELEMENT}\d*)+\))\d*)+)"
_SUBSTANCE = re.compile(rf"{_MOLECULE}(?:\s*(?:\+|->|→|=|⟶)\s*{_MOLECULE})*")
_TOLD_SUBSTANCE = re.compile(rf"(?:\bis|\bare|:|=)\s+(?P<claim>{_SUBSTANCE.pattern})(?=[\s.,;]*$)")
_SMALL_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_ARROW = re.compile(r"\s*(?:->|→|⟶|=)\s*")
_CALCULATED = re.compile(r"\d[^=]*=")  # 17 * 6 = 102 tells what stands behind the equals sign
_LAST_MATH = re.compile(r"\$(?P<claim>[^$\n]{1,80})\$[\s.]*$")
_NAME_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_IS = re.compile(r"^(?P<who>[^.\n]{1,60}?)\s+(?:is|are|was|were)\s+(?P<what>[^.\n]{1,60})[.!]?\s*$")
_SMALL_WORDS = frozenset({"a", "an", "the", "of", "in", "to", "and", "or", "it", "is", "that", "option", "answer"})
MOST_WORDS = 4  # of a name
LONGEST_NAMING = 200  # characters of an answer that names one thing
_FORMULA = re.compile(
    r"\$?\$?\s*(?P<claim>[-−(\[{\\]?[^A-Za-z\n]*(?:\\[a-zA-Z]+|\b[a-zA-Z]\b|[^A-Za-z\n])*?)\s*\$?\$?\s*\.?", re.DOTALL
)
_MATRIX = re.compile(r"\\(?:begin|end)\{[a-z]?matrix\}")
_HAS_STRUCTURE = re.compile(r"[,^\\=<>≤≥/(\[]|[a-zA-Z]")


def date_of(text: str) -> tuple[int, int, int] | None:
    """The one date that a text is or ends with, as (year or 0, month, day); None without one."""
    found = None
    for match in DATE.finditer(text):
        found = match
    if found is None:
        return None
    part = found.groupdict()
    if part["year"]:
        return int(part["year"]), int(part["month"]), int(part["day"])
    name = (part["name"] or part["name3"]).lower()[:3]
    month = next(number for number, one in enumerate(_MONTHS, 1) if one[:3] == name)
    return int(part["year2"] or part["year3"] or 0), month, int(part["day2"] or part["day3"])


def same_dates(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two dates are one; a year that one of them leaves out is not asked for."""
    return a[1:] == b[1:] and (not a[0] or not b[0] or a[0] == b[0])


def substance(text: str) -> str | None:
    """A chemical formula or equation as a text that is equal for equal ones; None for anything else.

    At least one of its molecules has a digit or two elements, so that a word such as "I" or "No" is none.
    """
    plain = text.translate(_SMALL_DIGITS).strip().strip("$.").strip()
    plain = re.sub(r"\\(?:mathrm|ce|text)\{([^{}]*)\}|_\{?(\d+)\}?", lambda m: m.group(1) or m.group(2), plain)
    if not _SUBSTANCE.fullmatch(plain) or not re.search(rf"{_ELEMENT}\d|{_ELEMENT}[A-Z]|\)\d", plain):
        return None
    sides = _ARROW.split(plain)
    return " -> ".join(" + ".join(sorted(re.sub(r"\s", "", one) for one in side.split("+"))) for side in sides)


def told_substance(text: str) -> Span | None:
    """Where a text ends by naming a chemical formula: "the formula is Na2SO4"."""
    found = _TOLD_SUBSTANCE.search(text.translate(_SMALL_DIGITS))
    if found is None or substance(found.group("claim")) is None:
        return None
    return Span(*found.span("claim"))


def whole_formula(answer: str) -> Span | None:
    """The place of an answer that is one formula, tuple, interval or matrix, and no sentence; None for any other."""
    kept = answer.strip()
    if not kept or len(kept) > LONGEST_FORMULA or "\n" in kept or "`" in kept or "*" in kept[:2]:
        return None
    if _CALCULATED.search(kept):
        return None
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\\[a-zA-Z]+", " ", _MATRIX.sub(" ", kept)))
    found = _FORMULA.fullmatch(kept) if not words else None
    if _MATRIX.search(kept) and not words:
        inner = kept.strip("$. ")
    elif found is not None and _HAS_STRUCTURE.search(found.group("claim")) and re.search(r"\d", found.group("claim")):
        inner = found.group("claim")
    else:
        return None
    start = answer.index(inner)
    return Span(start, start + len(inner)) if inner else None


def last_math(answer: str) -> Span | None:
    """The place of the formula between dollar signs that a text ends with; None without one, or with a calculation."""
    found = _LAST_MATH.search(answer)
    return None if found is None or "=" in found["claim"] else Span(*found.span("claim"))


def name_words(text: str) -> frozenset[str]:
    """The words of a name of at most MOST_WORDS words, in lower case; empty for a number, a sentence or nothing."""
    words = [word.lower() for word in _NAME_WORD.findall(text)]
    if re.search(r"\d", text) or not 0 < len(words) <= MOST_WORDS:
        return frozenset()
    return frozenset(words) - _SMALL_WORDS


def other_name(meant: str, answer: str, known: str) -> Span | None:
    """Where a short answer names another thing than `meant`; None where that is not certain.

    It is where nothing of `meant` stands in the answer, and what stands in its place is spoken of in `known` (the
    problem and the thinking): a name that was rejected, not another word for the same.
    """
    mine = name_words(meant)
    shown = answer.strip()
    if not mine or len(shown) > LONGEST_NAMING or "\n" in shown:
        return None
    said = {word.lower() for word in _NAME_WORD.findall(shown)}
    if mine & said:
        return None
    parts = _IS.match(shown)
    spoken = {word.lower() for word in _NAME_WORD.findall(known)}
    beside = {word.lower() for line in re.split(r"[.\n]", known) if meant in line for word in _NAME_WORD.findall(line)}
    for text in (parts["what"], parts["who"]) if parts else (shown,):
        words = name_words(text)
        named = parts is not None and "answer" in parts["who"].lower() and text == parts["what"]
        if words and words <= spoken and (named or not words <= beside):
            start = answer.index(text.rstrip(" .!*"))
            return Span(start, start + len(text.rstrip(" .!*")))
    return None
