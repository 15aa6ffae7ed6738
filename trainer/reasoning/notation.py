"""Words of mathematical notation: LaTeX and plain text to tokens, within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 4096


class NotAnExpression(ValueError):
    """The text is no mathematics that we can read."""


class TooBig(ValueError):
    """The text is too long, too deep or its numbers too large to be read within bounds."""


FUNCTIONS = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan"}
    | {"sinh", "cosh", "tanh", "log", "ln", "lg", "exp", "sqrt", "abs", "floor", "ceil"}
)
_GREEK = re.findall(
    "[a-zA-Z]+",
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau"
    " upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar",
)
_NAMES = {f"\\{name}": name for name in _GREEK} | {
    "\\infty": "oo",
    "\\emptyset": "emptyset",
    "\\varnothing": "emptyset",
    "pi": "pi",
    "inf": "oo",
    "infty": "oo",
    "infinity": "oo",
    "oo": "oo",
    "theta": "theta",
    "alpha": "alpha",
    "beta": "beta",
    "R": "R",
}
_OPERATORS = {
    "\\cdot": "*",
    "\\times": "*",
    "\\ast": "*",
    "\\div": "/",
    "\\over": "/",
    "\\pm": "pm",
    "\\mp": "pm",
    "+-": "pm",
    "\\cup": "cup",
    "\\cap": "cap",
    "\\setminus": "setminus",
    "\\le": "<=",
    "\\leq": "<=",
    "\\leqslant": "<=",
    "\\ge": ">=",
    "\\geq": ">=",
    "\\geqslant": ">=",
    "\\lt": "<",
    "\\gt": ">",
    "\\ne": "!=",
    "\\neq": "!=",
    "\\in": "in",
    "\\approx": "~=",
    "\\{": "{s",
    "\\}": "}s",
    "\\lbrace": "{s",
    "\\rbrace": "}s",
    "\\langle": "(",
    "\\rangle": ")",
    "\\lvert": "|",
    "\\rvert": "|",
    "\\vert": "|",
    "\\lfloor": "floor[",
    "\\rfloor": "]floor",
    "\\lceil": "ceil[",
    "\\rceil": "]ceil",
    "**": "^",
    ";": ",",
}
_TOKEN = re.compile(
    r"(?P<number>(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+(?![a-zA-Z]))?)"
    r"|(?P<begin>\\begin\{[a-z]*matrix\}|\\begin\{array\}(?:\{[^{}]*\})?)|(?P<end>\\end\{[a-z]+\})|(?P<row>\\\\)"
    r"|(?P<command>\\[a-zA-Z]+|\\[{}])|(?P<name>[a-zA-Z]+)|(?P<blackboard>ℝ)"
    r"|(?P<sign>\*\*|<=|>=|!=|\+-|[-+*/^()\[\]{}|=<>,:;!%°_&'])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the notation; `spaced` says that white space stands before it."""

    kind: str
    text: str
    spaced: bool


def tokenize(text: str) -> list[Token]:
    """Tokens of kinds number, name, function, sign, begin, end, row; others raise NotAnExpression."""
    if len(text) > MAX_LENGTH:
        raise TooBig(f"{len(text)} characters, more than {MAX_LENGTH}")
    spaced_list = ", " in text or bool(re.fullmatch(r"\s*[(\[{\\].*,.*[)\]}]\s*", text, re.DOTALL))
    tokens: list[Token] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        kind, word = str(match.lastgroup), match.group()
        if kind == "space":
            spaced = True
            continue
        if kind == "number" and "," in word and spaced_list and ", " not in text:
            parts = word.split(",")  # "(1,234)" is a pair
            for number, part in enumerate(parts):
                tokens += [Token("sign", ",", False)] * (number > 0) + [Token("number", part, spaced and not number)]
        else:
            tokens += _word_tokens(kind, word, spaced)
        spaced = False
    return tokens


def _word_tokens(kind: str, word: str, spaced: bool) -> list[Token]:
    if kind in ("number", "begin", "end", "row"):
        return [Token(kind, word, spaced)]
    if word in _OPERATORS:
        return [Token("sign", _OPERATORS[word], spaced)]
    if kind == "sign":
        return [Token("sign", word, spaced)]
    if kind == "blackboard" or word == "\\R":
        return [Token("name", "Reals", spaced)]
    bare = word.removeprefix("\\")
    if bare in FUNCTIONS or word in ("\\frac", "\\binom"):
        return [Token("function", bare, spaced)]
    if word in _NAMES:
        return [Token("name", _NAMES[word], spaced)]
    if kind == "name" and (len(word) <= 3 or word == "Reals"):  # a longer word is prose, not a product of variables
        letters = [word] if word == "Reals" else list(word)
        return [Token("name", letter, spaced and not number) for number, letter in enumerate(letters)]
    raise NotAnExpression(f"{word[:20]!r} is no mathematics that can be read")
