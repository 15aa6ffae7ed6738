"""Equations in the prose of a step: where they stand, their sides as tokens, and what makes them unsafe to judge.

A side that may have lost an operand to the prose around it is tainted: it is left alone rather than judged wrongly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

MAX_TEXT = 20_000


class Kind(StrEnum):
    """What a token of a side is."""

    NUMBER = "number"
    OPERATOR = "operator"
    OPENS = "opens"
    CLOSES = "closes"
    FRACTION = "fraction"
    ROOT = "root"
    PERCENT = "percent"
    FACTORIAL = "factorial"
    VARIABLE = "variable"
    TAINT = "taint"
    EQUALS = "equals"
    WORD = "word"
    BREAK = "break"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its place in the text; `text` is its normal spelling."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Side:
    """One side of an equation; `units` are the words after its numbers, each unit a set of words."""

    tokens: list[Token] = field(default_factory=list)
    units: list[frozenset[str]] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Where it begins in the text."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return self.tokens[-1].end

    def has(self, *kinds: Kind) -> bool:
        """Whether it holds a token of one of the kinds."""
        return any(token.kind in kinds for token in self.tokens)


@dataclass(slots=True)
class Statement:
    """Sides joined by = or ≈, `joins` one fewer than sides; a poisoned one is not asserted (if, not, mod, ?)."""

    sides: list[Side]
    joins: list[str]
    poisoned: bool = False


_FUNCTIONS = r"sin|cos|tan|cot|sec|csc|arc\w+|log|ln|exp|gcd|lcm|max|min|floor|ceil|round|sqrt|choose|binom|abs|sum|mod"
_LEXICON = (
    (
        "skip",
        r"\\(?:left|right|displaystyle|boxed|quad|qquad|[bB]ig\w*)(?![a-z])|\\[,;:! ()\[\]]|\\?\$|&(?!\w)|[ \t~€£]+",
    ),
    (
        Kind.TAINT,
        r"\.\.\.|…|\\[lcv]?dots\w*|[≠±|_]|!=|\\(?:neq?|pm)(?![a-z])|(?<=\d),(?=\d(?!\d\d(?!\d)))|(?<=\d):(?=\d)",
    ),
    (Kind.NUMBER, r"\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d)(?:\.\d+)?|\d+\.\d+|\d+|(?<![\d.])\.\d+"),
    (
        Kind.BREAK,
        r"[\n\r;,.:\"“”<>≤≥→⇒•#`]|\\\\|\\(?:[lg]eq?|to|implies|Rightarrow|newline|item)(?![a-z])|=>|->|(?<=\s)--",
    ),
    (Kind.POISON, r"\\(?:equiv|p?mod|bmod|pmod)(?![a-z])|≡|\?"),
    ("approx", r"\\(?:approx|simeq|sim)(?![a-z])|≈|≃|~="),
    (Kind.EQUALS, r"==?"),
    ("power", r"\^(?!\s*\{?\s*\\circ)|(?<=[\w)])\*\*(?=[\w(])"),
    ("bold", r"\*\*+"),
    ("times", r"\\(?:times|cdot|ast)(?![a-z])|[*×·⋅∙]"),
    ("over", r"\\div(?![a-z])|[/÷]"),
    ("sign", r"[-+−–]"),
    ("raised", r"[²³]"),
    (Kind.FRACTION, r"\\[dtc]?frac(?![a-z])"),
    (Kind.ROOT, r"\\sqrt(?![a-z])|√"),
    ("degree", r"\^\s*\{?\s*\\circ\s*\}?|°"),
    (Kind.PERCENT, r"\\?%|percent\b"),
    (Kind.FACTORIAL, r"!"),
    ("prose", r"\\(?:text|textbf|mathrm|mbox|textit|operatorname)\s*\{(?P<prose>[^{}]*)\}"),
    (Kind.OPENS, r"\\?[{(]|\["),
    (Kind.CLOSES, r"\\?[})]|\]"),
    ("greek", r"\\(?:alpha|beta|gamma|delta|theta|lambda|mu|pi|phi|omega|sigma)(?![a-z])|[πθαβ]"),
    (Kind.TAINT, r"\\[a-zA-Z]+"),
    ("word", r"[^\W\d_]+(?:['’][a-z]+)?"),
    (Kind.TAINT, r"."),
)
_GROUPS = {f"g{place}": kind for place, (kind, _) in enumerate(_LEXICON)}
_TOKEN = re.compile("|".join(f"(?P<g{place}>{pattern})" for place, (_, pattern) in enumerate(_LEXICON)), re.DOTALL)
_CALCULATOR = re.compile(r"<<([^<>\n]*)>>")  # GSM8K's calls of a calculator
_BULLET = re.compile(r"^[ \t]*(?:(?:[-*•]|\d+[.)]|\(?[a-z0-9]{1,2}\))[ \t]+)", re.MULTILINE)
_FUNCTION = re.compile(rf"(?:{_FUNCTIONS})$", re.IGNORECASE)
_OPERATOR_WORDS = (
    (re.compile(r"(?<!\\)\bdivided by(?= *[-$(\d\\])"), "/"),
    (re.compile(r"(?<!\\)\b(?:multiplied by|times)(?= *[-$(\d\\])"), "*"),
    (re.compile(r"(?<!\\)\bplus(?= *[-$(\d\\])"), "+"),
    (re.compile(r"(?<!\\)\bminus(?= *[-$(\d\\])"), "-"),
    (re.compile(r"(?<!\\)\bequals(?= *[-$(\d\\])"), "="),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABELS = _words(
    "week weeks days step line part case equation problem question example day chapter number no figure grade"
)
_CHANGES = _words(
    "square root cube half product average mean log logarithm factorial percent third quarter remainder quotient"
    " difference twice double triple negative reciprocal inverse multiple"
)
SCALES = _words("dozen hundred thousand million billion trillion k pair cent half score")
_DOUBTS_BEFORE = _words("if suppose assume assuming let not isn't instead whether unless mod modulo")
_DOUBTS_AFTER = _words("wrong incorrect false impossible rounded approximately roughly remainder nearest mod modulo r")
_NO_UNIT = _words(
    "is are was and then so we the to have has gives give for because if when while but or from than more less which"
    " get that this these there it he she they with where since as by of on be can will at total altogether left"
    " remaining each all now"
)


def statements(text: str) -> list[Statement]:
    """Every statement with at least one = or ≈, in the text's order."""
    text = text[:MAX_TEXT]
    found: list[Statement] = []
    for call in _CALCULATOR.finditer(text):
        found += _Builder(_tokens(call.group(1), call.start(1))).run()
    blank = _CALCULATOR.sub(lambda m: " " * len(m.group()), text)
    blank = _BULLET.sub(lambda m: "\n" + " " * (len(m.group()) - 1), blank)
    for pattern, sign in _OPERATOR_WORDS:
        blank = pattern.sub(lambda m, sign=sign: sign.ljust(len(m.group())), blank)  # type: ignore[misc]
    found += _Builder(_tokens(blank, 0)).run()
    return sorted(found, key=lambda s: s.sides[0].start if s.sides[0].tokens else 0)


def _tokens(text: str, offset: int) -> list[Token]:
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = _GROUPS[next(name for name, group in match.groupdict().items() if group is not None and name[0] == "g")]
        start, end, word = match.start() + offset, match.end() + offset, match.group()
        match kind:
            case "skip" | "bold":
                continue
            case "approx":
                found.append(Token(Kind.EQUALS, "≈", start, end))
            case "power" | "times" | "over" | "sign":
                sign = {"power": "^", "times": "*", "over": "/"}.get(kind, "+" if word == "+" else "-")
                found.append(Token(Kind.OPERATOR, sign, start, end))
            case "raised":
                found.append(Token(Kind.OPERATOR, "^", start, end))
                found.append(Token(Kind.NUMBER, "2" if word == "²" else "3", start, end))
            case "degree":
                found.append(Token(Kind.WORD, "degrees", start, end))
            case "prose":
                words = re.findall(r"[^\W\d_]+", match.group("prose"))
                found += [Token(Kind.WORD, w.lower(), start, end) for w in words]
            case "greek":
                found.append(Token(Kind.VARIABLE, word, start, end))
            case "word":
                found.append(_word(word, text, match.start(), match.end(), offset))
            case Kind.NUMBER:
                found.append(Token(Kind.NUMBER, re.sub(r"[^\d.]", "", word), start, end))
            case Kind.EQUALS:
                found.append(Token(Kind.EQUALS, "=", start, end))
            case _:
                assert isinstance(kind, Kind)
                found.append(Token(kind, word.lstrip("\\"), start, end))
    return found


def _word(word: str, text: str, start: int, end: int, offset: int) -> Token:
    """A word of prose, a variable, a function's name, or an x between numbers, which multiplies."""
    before, after = text[:start].rstrip(" $"), text[end:].lstrip(" $")
    spaced = text[start - 1 : start] in (" ", "$", "") and text[end : end + 1] in (" ", "$")
    digits = (before[-1:].isdigit() or (spaced and before[-1:] == ")")) and (after[:1].isdigit() or after[:1] == "(")
    if word in ("x", "X") and digits and (spaced or (text[start - 1].isdigit() and text[end].isdigit())):
        return Token(Kind.OPERATOR, "*", start + offset, end + offset)
    if len(word) == 1 and not (word in "aAI" and spaced and not text[start - 1 : start].isdigit()):
        return Token(Kind.VARIABLE, word, start + offset, end + offset)
    if len(word) > 1 and ((_FUNCTION.match(word) and word.lower() != "sum") or text[end : end + 1] == "("):
        return Token(Kind.TAINT, word, start + offset, end + offset)
    return Token(Kind.WORD, word.lower(), start + offset, end + offset)


class _Builder:
    """Cuts tokens into statements at breaks and at prose."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._found: list[Statement] = []
        self._open = Statement([Side()], [])

    def run(self) -> list[Statement]:
        """All statements that hold an equation."""
        while self._place < len(self._tokens):
            token = self._tokens[self._place]
            self._place += 1
            match token.kind:
                case Kind.WORD:
                    self._prose(token)
                case Kind.BREAK:
                    self._close()
                case Kind.POISON:
                    self._open.poisoned = True
                    if token.text == "?":
                        self._close()
                case Kind.EQUALS:
                    self._open.joins.append(token.text)
                    self._open.sides.append(Side())
                case _:
                    self._open.sides[-1].tokens.append(token)
        self._close()
        return self._found

    def _close(self) -> None:
        if self._open.joins and all(side.tokens for side in self._open.sides[1:]):
            self._found.append(self._open)
        elif self._open.joins:  # "5 + 3 = 8 = the sum": what comes before the prose stands
            kept = next(n for n, side in enumerate(self._open.sides) if n and not side.tokens)
            if kept > 1:
                self._open.sides, self._open.joins = self._open.sides[:kept], self._open.joins[: kept - 1]
                self._found.append(self._open)
        self._open = Statement([Side()], [])

    def _prose(self, first: Token) -> None:
        """A run of words: a unit, a multiplying "of", or prose, which ends the statement."""
        words = [first.text]
        while self._place < len(self._tokens) and self._tokens[self._place].kind is Kind.WORD:
            words.append(self._tokens[self._place].text)
            self._place += 1
        following = self._tokens[self._place] if self._place < len(self._tokens) else None
        side = self._open.sides[-1]
        before = side.tokens[-1] if side.tokens else None
        plain = [word for word in words if word not in ("the", "a", "an")]
        if before is not None and words == ["of"] and _is_share(side.tokens) and _begins(following):
            side.tokens.append(Token(Kind.OPERATOR, "*", first.start, first.end))
        elif before is not None and _ends(before) and self._is_unit(plain, following, side):
            side.units.append(frozenset(_singular(word) for word in plain))
        else:
            if before is not None and _singular(words[0]) in SCALES:
                side.units.append(frozenset({_singular(words[0])}))
            mixed = words == ["and"] and self._is_fraction_next()  # "1 and 1/3"
            self._open.poisoned |= mixed or bool(_DOUBTS_AFTER & set(words[:4]))
            self._close()
            self._open.poisoned = mixed or bool(_DOUBTS_BEFORE & set(words[-3:]))
            if _takes_part(words, following):
                self._open.sides[-1].tokens.append(Token(Kind.TAINT, words[-1], first.start, first.end))

    def _is_fraction_next(self) -> bool:
        ahead = self._tokens[self._place : self._place + 3]
        kinds = [Kind.NUMBER, Kind.OPERATOR, Kind.NUMBER]
        return [token.kind for token in ahead] == kinds and ahead[1].text == "/"

    def _is_unit(self, words: list[str], following: Token | None, side: Side) -> bool:
        if not 1 <= len(words) <= 3 or _NO_UNIT & set(words) - {"of"} or _DOUBTS_AFTER & set(words):
            return False
        if following is None or following.kind in (Kind.BREAK, Kind.EQUALS, Kind.CLOSES, Kind.POISON):
            return True
        return following.kind is Kind.OPERATOR and following.text != "^" and "of" not in words


def _is_share(tokens: list[Token]) -> bool:
    """Whether they end in a percentage or a fraction, of which one takes a part."""
    last = tokens[-1]
    if last.kind is Kind.PERCENT:
        return True
    return last.kind in (Kind.NUMBER, Kind.CLOSES) and any(
        t.kind is Kind.FRACTION or (t.kind is Kind.OPERATOR and t.text == "/") for t in tokens[-8:]
    )


def _begins(token: Token | None) -> bool:
    return token is not None and token.kind in (Kind.NUMBER, Kind.OPENS, Kind.FRACTION, Kind.ROOT, Kind.VARIABLE)


def _ends(token: Token) -> bool:
    return token.kind in (Kind.NUMBER, Kind.CLOSES, Kind.PERCENT, Kind.FACTORIAL, Kind.VARIABLE)


def _takes_part(words: list[str], following: Token | None) -> bool:
    """Whether the prose changes or holds the first operand of what follows."""
    if following is None:
        return False
    if following.kind is Kind.OPERATOR and following.text != "-":
        return True
    last, earlier = words[-1], words[-4:-1]
    if last in _LABELS or last in _CHANGES or last == "than":
        return True
    return last in ("of", "between", "the") and bool(_CHANGES & set(earlier))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 2 and word.endswith("s") else word
