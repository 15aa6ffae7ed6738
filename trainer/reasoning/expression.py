"""Answers as trees: a parser by recursive descent for LaTeX and plain notation. Nothing is evaluated.

Written by us so that no text is ever run as code, and so that a tree's depth and a number's size are bounded. The text
must have been through `normal_form.clean`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from trainer.reasoning.notation import NotAnExpression, Token, TooBig, tokenize

MAX_DEPTH = 50
MAX_DIGITS = 1000
MAX_CHOICES = 4  # signs ± in one value, each doubling what it stands for


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number as written; `decimals` are the digits after its point (None without a point)."""

    value: Fraction
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable or a constant, by its name without a backslash."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on nodes, by its name: a function's, a sign's (+ * ^ cup cap setminus), or one of neg inverse pm
    root ratio factorial percent degree prime abs floor ceil binom matrix row."""

    head: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Several nodes in brackets: ( ) and [ ] in order, { } a set, "" a bare list."""

    opens: str
    closes: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides joined by signs (= < <= > >= != in, ~= for ≈), one sign fewer than sides."""

    signs: tuple[str, ...]
    sides: tuple[Node, ...]


Node = Number | Symbol | Apply | Group | Relation

RELATIONS = frozenset({"=", "<", "<=", ">", ">=", "!=", "in", "~="})


def parse(text: str) -> Node:
    """The tree of a cleaned answer; raises NotAnExpression or TooBig."""
    parser = _Parser(tokenize(text))
    node = parser.bare_list()
    if parser.token is not None:
        raise NotAnExpression(f"{parser.token.text!r} is left over")
    return node


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._bars = 0

    @property
    def token(self) -> Token | None:
        return self._ahead(0)

    def _ahead(self, by: int) -> Token | None:
        place = self._place + by
        return self._tokens[place] if place < len(self._tokens) else None

    def _is(self, *signs: str, by: int = 0) -> bool:
        token = self._ahead(by)
        return token is not None and token.kind == "sign" and token.text in signs

    def _take(self) -> Token:
        token = self.token
        if token is None:
            raise NotAnExpression("it ends too early")
        self._place += 1
        return token

    def _accept(self, sign: str) -> bool:
        """Take the sign if it comes next."""
        found = self._is(sign)
        self._place += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise NotAnExpression(f"{sign!r} is missing")

    def bare_list(self) -> Node:
        items = self._items()
        return items[0] if len(items) == 1 else Group("", "", tuple(items))

    def _items(self) -> list[Node]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooBig(f"nested deeper than {MAX_DEPTH}")
        items = [self._relation()]
        while self._accept(","):
            items.append(self._relation())
        self._depth -= 1
        return items

    def _relation(self) -> Node:
        sides = [self._union()]
        signs: list[str] = []
        while self._is(*RELATIONS):
            signs.append(self._take().text)
            sides.append(self._union())
        return Relation(tuple(signs), tuple(sides)) if signs else sides[0]

    def _union(self) -> Node:
        parts = [self._sum()]
        signs = set()
        while self._is("cup", "cap", "setminus"):
            signs.add(self._take().text)
            parts.append(self._sum())
        if len(signs) > 1:
            raise NotAnExpression("several operations on sets without brackets")
        return Apply(signs.pop(), tuple(parts)) if signs else parts[0]

    def _sum(self) -> Node:
        """Terms in one flat node: a long sum is no deep tree. A ± closes what stands before it."""
        terms: list[Node] = [] if self._is("pm") else [self._product()]
        choices = 0
        while self._is("+", "-", "pm"):
            sign = self._take().text
            right = self._product()
            if sign == "pm":
                choices += 1
                terms = [Apply("pm", (_flat("+", terms) if terms else Number(Fraction(0)), right))]
            else:
                terms.append(right if sign == "+" else Apply("neg", (right,)))
        if choices > MAX_CHOICES:
            raise TooBig(f"more than {MAX_CHOICES} signs ±")
        return _flat("+", terms)

    def _product(self) -> Node:
        """Factors; `a:b` is a quotient, `a:b:c` a ratio of three."""
        parts = [self._quotient()]
        while self._accept(":"):
            parts.append(self._quotient())
        if len(parts) == 2:
            return Apply("*", (parts[0], Apply("inverse", (parts[1],))))
        return _flat("ratio", parts)

    def _quotient(self) -> Node:
        factors = [self._signed()]
        while True:
            if self._is("*", "/"):
                sign = self._take().text
                right = self._signed()
                factors.append(right if sign == "*" else Apply("inverse", (right,)))
            elif self._starts_factor():
                factors.append(self._power())
            else:
                return _flat("*", factors)

    def _starts_factor(self) -> bool:
        token = self.token
        if token is None:
            return False
        if token.kind == "number":
            before = self._tokens[self._place - 1]
            return before.kind == "sign" and before.text in (")", "}")
        return token.kind in ("name", "function", "begin") or (
            token.kind == "sign"
            and (token.text in ("(", "{", "[", "floor[", "ceil[") or (token.text == "|" and not self._bars))
        )

    def _signed(self) -> Node:
        negative = False
        while self._is("-", "+"):  # a loop, not a call: a thousand signs are no depth
            negative ^= self._take().text == "-"
        node = self._power()
        return Apply("neg", (node,)) if negative else node

    def _power(self) -> Node:
        """Postfix signs and a power; what stands in the exponent binds to the right."""
        node = self._postfix(self._atom())
        if self._accept("^"):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise TooBig(f"nested deeper than {MAX_DEPTH}")
            node = self._raised(node)
            self._depth -= 1
            node = self._postfix(node)
        return node

    def _raised(self, base: Node) -> Node:
        if self._accept("°"):
            return Apply("degree", (base,))
        if self._accept("{"):
            if self._accept("°"):
                self._expect("}")
                return Apply("degree", (base,))
            exponent = self.bare_list()
            self._expect("}")
            if self._is("^"):
                raise NotAnExpression("a power of a power without brackets")
        else:
            exponent = self._signed()
        return Apply("^", (base, exponent))

    def _postfix(self, node: Node) -> Node:
        signs = 0
        while self._is("!", "%", "°", "_", "'"):
            signs += 1
            if signs > MAX_CHOICES:
                raise TooBig(f"more than {MAX_CHOICES} signs after a value")
            sign = self._take().text
            if sign == "_":
                node = self._subscript(node)
            else:
                node = Apply({"!": "factorial", "%": "percent", "°": "degree", "'": "prime"}[sign], (node,))
        return node

    def _subscript(self, node: Node) -> Node:
        """`x_1` is another variable; `1011_2` is a number in base 2."""
        braced = self._accept("{")
        words = [self._take().text]
        while braced and not self._is("}"):
            words.append(self._take().text)
        if braced:
            self._expect("}")
        below = "".join(words)
        if isinstance(node, Symbol):
            return Symbol(f"{node.name}_{below}")
        if isinstance(node, Number) and below.isdigit() and node.decimals is None and 2 <= int(below) <= 36:
            try:
                return Number(Fraction(int(str(node.value.numerator), int(below))))
            except ValueError as error:
                raise NotAnExpression(f"no number in base {below}") from error
        raise NotAnExpression("a subscript on what is neither a variable nor a number")

    def _atom(self) -> Node:
        token = self._take()
        match token.kind:
            case "number":
                return self._number(token)
            case "name":
                return Symbol(token.text)
            case "function":
                return self._function(token.text)
            case "begin":
                return self._matrix()
            case "sign" if token.text in ("(", "[", "{", "{s"):
                return self._brackets(token.text)
            case "sign" if token.text == "|":
                return self._between("abs", "|")
            case "sign" if token.text in ("floor[", "ceil["):
                return self._between(token.text[:-1], "]" + token.text[:-1])
            case _:
                raise NotAnExpression(f"{token.text!r} where a value should stand")

    def _between(self, head: str, closes: str) -> Node:
        bar = closes == "|"
        self._bars += bar
        node = self.bare_list()
        self._bars -= bar
        self._expect(closes)
        return Apply(head, (node,))

    def _brackets(self, opens: str) -> Node:
        closing = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), "{s": ("}s",)}[opens]
        bars, self._bars = self._bars, 0
        if self._is(*closing) and opens == "{s":
            self._take()
            return Group("{", "}", ())
        items = self._items()
        self._bars = bars
        if not self._is(*closing):
            raise NotAnExpression(f"{opens[0]!r} is never closed")
        closes = self._take().text
        if len(items) == 1 and opens != "{s":
            return items[0]
        return Group(opens[0], closes[0], tuple(items))

    def _number(self, token: Token) -> Node:
        node = number(token.text)
        following, slash, below = self._ahead(0), self._ahead(1), self._ahead(2)
        if node.decimals is not None or following is None:
            return node
        whole = following.kind == "number" and following.text.isdigit() and following.spaced
        if whole and slash is not None and slash.text == "/" and below is not None and below.text.isdigit():
            top, bottom = int(following.text), int(below.text)
            if top < bottom:  # "2 1/2"
                self._place += 3
                return Number(node.value + Fraction(top, bottom))
        if following.kind == "function" and following.text == "frac":
            place = self._place
            self._place += 1
            fraction = self._function("frac")
            if _is_plain_fraction(fraction):
                return Apply("+", (node, fraction))
            self._place = place
        return node

    def _function(self, name: str) -> Node:
        if name in ("frac", "binom"):
            first = self._argument()
            second = self._argument()
            return (
                Apply("*", (first, Apply("inverse", (second,)))) if name == "frac" else Apply("binom", (first, second))
            )
        if name == "sqrt":
            index: Node = Number(Fraction(2))
            if self._accept("["):
                index = self.bare_list()
                self._expect("]")
            return Apply("root", (self._argument(), index))
        base: Node | None = None
        if self._accept("_"):
            base = self._argument()
        power: Node | None = None
        if self._accept("^"):
            power = self._argument()
        argument = self._postfix(self._argument()) if self._is("(", "{", "[") else self._plain_argument()
        node = Apply(name, (argument,) if base is None else (argument, base))
        return node if power is None else Apply("^", (node, power))

    def _plain_argument(self) -> Node:
        """`sin 2x` takes the product of numbers and names that follows, `sin x cos x` stops at the next function."""
        factors = [self._power()]
        while (token := self.token) is not None and token.kind == "name":
            factors.append(self._power())
        return _flat("*", factors)

    def _argument(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooBig(f"nested deeper than {MAX_DEPTH}")
        node = self._signed() if self._is("-") else self._atom()
        self._depth -= 1
        return node

    def _matrix(self) -> Node:
        rows: list[list[Node]] = [[]]
        while True:
            rows[-1].append(self._sum())
            token = self._take()
            if token.kind == "end":
                break
            if token.kind == "row":
                ahead = self.token
                if ahead is not None and ahead.kind == "end":
                    self._take()
                    break
                rows.append([])
            elif token.text != "&":
                raise NotAnExpression(f"{token.text!r} in a matrix")
        if len({len(row) for row in rows}) != 1:
            raise NotAnExpression("rows of a matrix differ in length")
        return Apply("matrix", tuple(Apply("row", tuple(row)) for row in rows))


def _flat(head: str, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Apply(head, tuple(parts))


def _is_plain_fraction(node: Node) -> bool:
    """Whether it is a fraction of two whole numbers: after a whole number it makes a mixed one."""
    if not isinstance(node, Apply) or len(node.arguments) != 2:
        return False
    top, below = node.arguments
    bottom = below.arguments[0] if isinstance(below, Apply) else below
    return all(isinstance(part, Number) and part.decimals is None for part in (top, bottom))


def number(word: str) -> Number:
    """A number as written, with thousands separators and an exponent of ten; TooBig over MAX_DIGITS digits."""
    plain = word.replace(",", "").lower()
    body, _, exponent = plain.partition("e")
    if len(body) > MAX_DIGITS or len(exponent) > 5 or abs(int(exponent or "0")) > MAX_DIGITS:
        raise TooBig(f"a number of more than {MAX_DIGITS} digits")
    whole, point, part = body.partition(".")
    value = Fraction(int(whole + part or "0"), 10 ** len(part)) * Fraction(10) ** int(exponent or "0")
    return Number(value, len(part) if point and part and not exponent else None)
