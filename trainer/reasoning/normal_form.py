r"""Normal forms of answers as text: `clean` keeps the meaning, `strict_form` is what the strict grader compares."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRAPPERS = (
    re.compile(r"\\boxed\{(.*)\}", re.DOTALL),
    re.compile(r"\$\$?([^$]*)\$\$?", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\\begin\{(?:equation|align)\*?\}(.*)\\end\{(?:equation|align)\*?\}", re.DOTALL),
)
_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ",
        "π": r"\pi ", "∞": r"\infty ", "≤": "<=", "≥": ">=", "≠": "!=", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "≈": r"\approx ", "√": r"\sqrt ", "±": r"\pm ", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}", "∅": r"\emptyset ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "⁄": "/",
        "（": "(", "）": ")", "，": ",", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "º": "°", "′": "'",
    }
)  # fmt: skip
_REWRITES = (
    (re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[bB]ig+[lrm]?(?![a-z])|\\displaystyle|\\textstyle|\\limits"), ""),
    (re.compile(r"\\[dtc]frac(?![a-z])"), r"\\frac"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!)\s*(?=\d{3}(?!\d))|\{,\}|,\\!"), ","),  # 11,\! 111
    (re.compile(r"(?<=\d)\\[,!: ](?=\d{3}(?!\d))"), ","),  # 1\,000
    (re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad(?![a-z])|~"), " "),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))|\\degree(?![a-z])|°"), "°"),
    (re.compile(r"\\mathbb\s*\{?\s*R\s*\}?|\\Re(?![a-z])"), "ℝ"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\#"), ""),
    (re.compile(r"\\mid(?![a-z])"), "|"),
    (
        re.compile(r"\\(?:mathrm|mathbf|mathit|mathcal|mathsf|mathtt|operatorname|overline|vec)\s*\{([a-zA-Z]+)\}"),
        r"\1",
    ),
    (
        re.compile(r"\\(?:text(?:normal|rm|bf|it|sf|tt|up|md|sl|sc)?|emph|mbox|hbox|mathrm|mathbf)\s*\{([^{}]*)\}"),
        r" \1 ",
    ),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\frac\s*(\{[^{}]*\})\s*(\d)"), r"\\frac\1{\2}"),
    (re.compile(r"\\sqrt\s*(\d+|[a-zA-Z])"), r"\\sqrt{\1}"),
)
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SPACED_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_NAME = re.compile(r"\s*([a-zA-Z]{1,2}(?:\([a-z]\))?)\s*=\s*(?=[^=<>]+$)")
_CURRENCY = re.compile(r"\\?\$|[€£¥]|\b(?:USD|EUR|GBP)\b")
_ALIASES = {
    "°": "degree", "deg": "degree", "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "millimetre": "mm",
    "kilometer": "km", "kilometre": "km", "meter": "m", "metre": "m", "inche": "inch", "in": "inch", "feet": "foot",
    "ft": "foot", "yd": "yard", "mi": "mile", "gram": "g", "kilogram": "kg", "kilo": "kg", "milligram": "mg",
    "pound": "lb", "ounce": "oz", "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h",
    "liter": "l", "litre": "l", "milliliter": "ml", "millilitre": "ml", "cent": "cent", "people": "person",
    "mph": "mile/h", "mile per h": "mile/h", "buck": "dollar",
}  # fmt: skip
_SINGLE = frozenset("mgshlLJNWVKCF")
_NO_UNIT = frozenset({"pi", "inf", "infinity", "or", "and", "sqrt", "to", "oo", "infty", "mod"})
_UNIT = re.compile(
    r"(?<=[\d)}%°.\s])(?P<unit>(?:\s*\b(?:square|sq|cubic)\b\.?)?\s*[a-zA-Z][a-zA-Z.]*(?:(?:\s+|\s*/\s*|-)[a-zA-Z]+\.?){0,3})"
    r"\s*(?:\^\s*\{?\s*(?P<power>[23])\s*\}?)?\s*$"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """An answer and its unit in one spelling; no unit is the empty string."""

    body: str
    unit: str


def clean(text: str) -> str:
    r"""The same answer without delimiters, spacing and size commands, `\text`, and in one spelling of each sign."""
    text = text.strip()
    for _ in range(4):
        before = text
        for wrapper in _WRAPPERS:
            whole = wrapper.fullmatch(text)
            if whole and _balanced(whole.group(1)):
                text = whole.group(1).strip()
        if text == before:
            break
    text = _RAISED.sub(lambda m: "^{" + m.group().translate(_LOWERED) + "}", text).translate(_CHARACTERS)
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", ",")
    for pattern, written in _REWRITES:
        text = pattern.sub(written, text)
    text = re.sub(r"\s+", " ", text).strip()
    return text.rstrip(".;,").strip() if not text.endswith("...") else text


def split_unit(cleaned: str) -> Measured:
    """A value and its unit: words after a number, a degree sign, or a currency sign before it."""
    currency = _CURRENCY.search(cleaned)
    text = _CURRENCY.sub("", cleaned).strip() if currency else cleaned
    unit = "dollar" if currency and "$" in currency.group() else (currency.group() if currency else "")
    if not any(c.isdigit() for c in text):
        return Measured(text, unit)
    found = _UNIT.search(text)
    if found and _is_unit(found.group("unit"), text[: found.start()]):
        body = text[: found.start()].strip()
        return Measured(body, _unit_name(found.group("unit"), found.group("power")))
    if text.endswith("°") and not re.search(r"[a-zA-Z]", text):
        return Measured(text[:-1].strip(), "degree")
    return Measured(text, unit)


@dataclass(frozen=True, slots=True)
class StrictForm:
    """An answer as the strict grader compares it: its text, and the unit and the name given to it ("" for none)."""

    text: str
    unit: str
    name: str


def strict_form(text: str) -> StrictForm:
    r"""The text without white space, percent and degree signs, in lower case; its unit and its name apart.

    `50\%` becomes 50 and so is not 0.5; `2^{10}` stays what it is and so is not 1024.
    """
    measured = split_unit(clean(text))
    form = measured.body.replace("%", "").replace("°", "")
    named = _NAME.match(form)
    form = form[named.end() :] if named else form
    form = re.sub(r"\\[{}]", lambda m: m.group()[1], form)
    form = re.sub(r"\b(?:or|and)\b", ",", form)
    form = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", form) if re.fullmatch(r"-?[1-9][\d,]*(?:\.\d+)?\s*", form) else form
    form = re.sub(r"(?<![\d.])\.(?=\d)", "0.", form)
    form = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", form)
    form = re.sub(r"^(-?\d+)\.0*$", r"\1", form)
    form = re.sub(r"^(-?)\+?0*(\d+)$", r"\1\2", form)
    form = re.sub(r"^(-?)(\d+)/(\d+)$", r"\1\\frac{\2}{\3}", form)
    form = re.sub(r"^\\frac\{-(\d+)\}", r"-\\frac{\1}", form)
    form = re.sub(r"([\^_])\{(\w)\}", r"\1\2", form)
    unit = measured.unit or ("percent" if measured.body.endswith("%") else "")
    return StrictForm(form.lower(), unit, named.group(1) if named else "")


def text_form(cleaned: str) -> str:
    """An answer in words: lower case, without punctuation, articles and brackets around it."""
    words = re.sub(r"[^\w\s%+*/=<>^\\-]", " ", cleaned.lower())
    return " ".join(word for word in words.split() if word not in ("the", "a", "an")) or cleaned.lower()


def is_prose(cleaned: str) -> bool:
    """Whether the answer is words alone: letters, spaces, hyphens and brackets, no LaTeX command, no digit."""
    if re.fullmatch("[a-df-hj-np-tv-z]{2,3}", cleaned):
        return False  # a product of variables
    return bool(re.fullmatch(r"[\s(]*[^\W\d_](?:[^\W\d_]|[\s'’.,()&-])*", cleaned)) and len(_letters(cleaned)) > 0


def _letters(text: str) -> list[str]:
    """Words that are longer than a variable's name."""
    return [w for w in re.findall(r"[^\W\d_]+", text) if len(w) > 1 and w not in _NO_UNIT]


def _balanced(text: str) -> bool:
    depth = 0
    for place, character in enumerate(text):
        escaped = place > 0 and text[place - 1] == "\\"
        if character == "{" and not escaped:
            depth += 1
        elif character == "}" and not escaped:
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


def _is_unit(written: str, before: str) -> bool:
    words = re.findall(r"[a-zA-Z]+", written)
    if not before.strip() or any(word.lower() in _NO_UNIT for word in words):
        return False
    if re.search(r"[\\=<>]\s*$|\\[a-zA-Z]*$", before):
        return False
    if len(words) == 1 and len(words[0]) == 1:
        return words[0] in _SINGLE and bool(
            re.search(r"\d\s$", before + written[: len(written) - len(written.lstrip())])
        )
    return all(len(word) > 1 or word in _SINGLE for word in words)


def _unit_name(written: str, power: str | None) -> str:
    words = [word.lower() for word in re.findall(r"[a-zA-Z]+|/", written)]
    squared = {"square": "2", "sq": "2", "cubic": "3"}
    raised = power or next((squared[w] for w in words if w in squared), None)
    names = [_one(word) for word in words if word not in squared and word not in ("units", "unit")]
    name = " ".join(names).replace(" / ", "/").replace(" per ", "/")
    name = _ALIASES.get(name, name)
    if raised and not name and {"unit", "units"} & set(words):
        name = "unit"  # square units: some unit, but of an area
    return f"{name}^{raised}" if raised and name else name


def _one(word: str) -> str:
    if word in _ALIASES:
        return _ALIASES[word]
    single = word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word
    return _ALIASES.get(single, single)
