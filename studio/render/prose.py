"""Step text to pieces: plain text, maths and code. Text is untrusted: nothing in it is ever read as HTML.

The pieces' sources, joined, are the text again. What is maths is decided by the text alone: `$…$`, `$$…$$`, `\\(…\\)`,
`\\[…\\]`, mathematical environments, a few bare commands (`\\boxed{…}`, `\\frac{…}{…}`) that models write without
dollars, and a last line after `# Answer` that holds commands. A dollar is money, and stays text, when nothing closes
it or when what it would enclose reads as prose.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum


class PieceKind(StrEnum):
    """What a piece of text is."""

    TEXT = "text"
    MATHS = "maths"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one kind. `text` is what is shown (LaTeX without delimiters for maths), `source` what was written."""

    kind: PieceKind
    text: str
    source: str
    block: bool = False  # stands on lines of its own: display maths, code blocks
    strong: bool = False
    emphasis: bool = False


ENVIRONMENTS = frozenset(
    [
        "align",
        "alignat",
        "aligned",
        "array",
        "bmatrix",
        "Bmatrix",
        "cases",
        "displaymath",
        "eqnarray",
        "equation",
        "flalign",
        "gather",
        "gathered",
        "math",
        "matrix",
        "multline",
        "pmatrix",
        "smallmatrix",
        "split",
        "tabular",
        "vmatrix",
        "Vmatrix",
    ]
)
BARE_COMMANDS = {
    "boxed": 1,
    "frac": 2,
    "dfrac": 2,
    "tfrac": 2,
    "cfrac": 2,
    "sqrt": 1,
    "binom": 2,
    "dbinom": 2,
    "overline": 1,
}
STYLED = {"textbf": "strong", "emph": "emphasis", "textit": "emphasis"}
LONGEST_INLINE = 2_000  # an opening mark whose partner is farther away is not maths
LONGEST_DISPLAY = 20_000

_SPECIAL = re.compile(r"\\|\$|`|\[asy\]|\*\*")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_BEGIN = re.compile(r"\\begin\{([A-Za-z]+)(\*?)\}")
_ASY = re.compile(r"\[asy\](.*?)\[/asy\]", re.DOTALL)
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n```[ \t]*(?=\n|$)|\Z)", re.DOTALL)
_INLINE_CODE = re.compile(r"`([^`\n]+)`")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PROSE = re.compile(r"[a-z]{2,}[,;]?\s+[A-Za-z]{2,}")
_GROUPED_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm|operatorname|begin|end)\*?\s*\{[^{}]*\}")
_MATHS_ONLY = re.compile(r"[\\^_]|^[\d\s.,()+\-*/=a-z]+$")
_ANSWER = re.compile(r"(# Answer\s+)(?=[^$]*(?:\\[A-Za-z]|[\^_]))([^$\n]*[^$\s])(\s*)\Z")


def pieces(text: str) -> tuple[Piece, ...]:
    """Cut a text into pieces; never fails, and `"".join(p.source for p in pieces(t)) == t`."""
    if (answer := _ANSWER.search(text)) and not _scannable(answer.group(2)):
        maths = Piece(PieceKind.MATHS, answer.group(2), answer.group(2) + answer.group(3))
        return (*_joined(_scan(text[: answer.end(1)])), maths)
    return tuple(_joined(_scan(text)))


def _scannable(text: str) -> bool:
    """Whether a text has marks of its own that say what is maths in it."""
    return any(mark in text for mark in ("\\(", "\\[", "$", "`", "**"))


def formulas(text: str) -> tuple[Piece, ...]:
    """The pieces of maths in a text."""
    return tuple(piece for piece in pieces(text) if piece.kind is PieceKind.MATHS)


def reference_text(reference: str | None) -> str:
    """A reference answer as text with maths: what has no marks of its own and reads as maths gets them."""
    if not reference or "$" in reference:
        return reference or ""
    return f"${reference}$" if _MATHS_ONLY.search(reference) else reference


def visible(text: str) -> str:
    """Text with what cannot be seen, or would reorder or break its surroundings, made visible. Newlines and tabs stay.

    NUL, carriage return and other controls become their names (⟨NUL⟩ ⟨CR⟩); bidirectional overrides, what has no width
    and lone surrogates become their numbers, so that a trace cannot show one thing and hold another.
    """
    return _HIDDEN.sub(lambda found: _picture(found.group()), text.replace("\r\n", "\n"))


_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
)


def _picture(character: str) -> str:
    code = ord(character)
    return {0x00: "⟨NUL⟩", 0x0D: "⟨CR⟩", 0x1B: "⟨ESC⟩"}.get(code, f"⟨U+{code:04X}⟩")


def is_rtl(text: str) -> bool:
    """Whether the first strong character writes from right to left."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("R", "AL"):
            return True
        if direction == "L":
            return False
    return False


def as_latex(text: str) -> str:
    """A text as LaTeX that compiles: maths kept, the special characters of the words escaped."""
    out: list[str] = []
    for piece in pieces(text):
        if piece.kind is PieceKind.MATHS:
            out.append(f"\\[{piece.text}\\]" if piece.block else f"${piece.text}$")
        elif piece.kind is PieceKind.CODE:
            out.append(f"\\begin{{verbatim}}\n{piece.text}\n\\end{{verbatim}}" if piece.block else _escaped(piece.text))
        else:
            words = _escaped(piece.text)
            words = f"\\textbf{{{words}}}" if piece.strong else words
            out.append(f"\\emph{{{words}}}" if piece.emphasis else words)
    return "".join(out)


_ESCAPES = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}


def _escaped(words: str) -> str:
    return re.sub(r"[\\^~$%&#_{}]", lambda found: _ESCAPES.get(found.group(), "\\" + found.group()), words)


def spoken(text: str) -> str:
    """A text for a screen reader: words and LaTeX without delimiters, on one line."""
    return " ".join("".join(visible(piece.text) for piece in pieces(text)).split())


# -- the scanner ------------------------------------------------------------------------------------------------------


def _scan(text: str) -> Iterator[Piece]:
    at = 0
    while at < len(text):
        found = _SPECIAL.search(text, at)
        if found is None:
            yield _words(text[at:])
            return
        start = found.start()
        if start > at:
            yield _words(text[at:start])
        some = list(_special(text, start)) or [_words(text[start : found.end()])]
        yield from some
        at = start + sum(len(piece.source) for piece in some)


def _special(text: str, at: int) -> Iterator[Piece]:
    """The pieces that begin with the special character at this position; none: it is an ordinary character."""
    match text[at]:
        case "$":
            yield from _dollars(text, at)
        case "\\":
            yield from _backslash(text, at)
        case "`":
            yield from _ticks(text, at)
        case "[":
            if found := _ASY.match(text, at):
                yield Piece(PieceKind.CODE, found.group(1).strip("\n"), found.group(), block=True)
        case _:
            yield from _styled(text, at, "**", text.find("**", at + 2), "strong")


def _ticks(text: str, at: int) -> Iterator[Piece]:
    begins_line = at == 0 or text[at - 1] == "\n"
    if begins_line and (fence := _FENCE.match(text, at)):
        yield Piece(PieceKind.CODE, fence.group(1), fence.group(), block=True)
    elif text.startswith("``", at):  # LaTeX's opening quotes
        yield _words(text[at : at + len(text[at:]) - len(text[at:].lstrip("`"))])
    elif found := _INLINE_CODE.match(text, at):
        yield Piece(PieceKind.CODE, found.group(1), found.group())


def _styled(text: str, at: int, mark: str, end: int, style: str) -> Iterator[Piece]:
    """The inside of `**…**`, in strong pieces that keep the marks in their sources."""
    inner = text[at + len(mark) : end] if end > at else ""
    if not inner or "\n" in inner or inner != inner.strip():
        return
    inside = list(_joined(_scan(inner)))
    last = len(inside) - 1
    for index, piece in enumerate(inside):
        source = (mark if index == 0 else "") + piece.source + (mark if index == last else "")
        yield replace(piece, source=source, strong=True) if style == "strong" else replace(piece, source=source)


def _dollars(text: str, at: int) -> Iterator[Piece]:
    if text.startswith("$$", at):
        end = _closing(text, at + 2, "$$")
        if end > 0 and text[at + 2 : end].strip():
            yield Piece(PieceKind.MATHS, text[at + 2 : end].strip(), text[at : end + 2], block=True)
        elif end < 0 and text[at + 2 : at + 3] == "\n" and text[at + 2 :].strip():  # closed in the next step
            yield Piece(PieceKind.MATHS, text[at + 2 :].strip(), text[at:], block=True)
        else:
            yield _words("$$")
        return
    end = _closing(text, at + 1, "$")
    if end < 0:
        return
    inner = text[at + 1 : end]
    if inner.strip() and "\n\n" not in inner and not _is_money(inner, text[at - 1 : at], text[end + 1 : end + 2]):
        yield Piece(PieceKind.MATHS, inner.strip(), text[at : end + 1])


def _is_money(inner: str, before: str, after: str) -> bool:
    """Whether `$inner$`, between these characters, is rather a sum of money and some prose up to the next sum."""
    if after.isdigit() and (inner[-1:].isspace() or not re.search(r"[\\^_=]", inner)):
        return True
    bare = re.sub(r"\\[A-Za-z]+", " ", _GROUPED_TEXT.sub("", inner))
    prose = _PROSE.search(bare) is not None and not re.search(r"[\\^_={}]", bare)
    if re.match(r"\.?\d", inner) or (before.isdigit() and inner[:1].isspace()):
        return prose or (inner[-1:].isspace() and _WORD.search(bare) is not None)
    return prose and len(_WORD.findall(bare)) >= 4


def _closing(text: str, at: int, mark: str) -> int:
    """Where maths that began just before `at` is closed by `mark`; -1: nowhere. Dollars in braces do not close."""
    depth = 0
    fallback = -1
    last = min(len(text), at + (LONGEST_INLINE if mark == "$" else LONGEST_DISPLAY))
    while at < last:
        character = text[at]
        if character == "\\":
            at += 2
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            depth = max(0, depth - 1)
        elif character == "$" and text.startswith(mark, at):
            if depth == 0:
                return at
            fallback = at if fallback < 0 else fallback
        elif character == "\n" and text.startswith("\n\n", at) and mark == "$":
            break
        at += 1
    return fallback


def _backslash(text: str, at: int) -> Iterator[Piece]:
    following = text[at + 1 : at + 2]
    if following in ("$", "%", "&", "#", "_") and following:
        yield Piece(PieceKind.TEXT, following, text[at : at + 2])
    elif following in ("(", "["):
        close = "\\)" if following == "(" else "\\]"
        end = text.find(close, at + 2, at + LONGEST_DISPLAY)
        inner = text[at + 2 : end] if end > 0 else ""
        if inner.strip() and "\n\n\n" not in inner:
            yield Piece(PieceKind.MATHS, inner.strip(), text[at : end + 2], block=following == "[")
    elif following == "\\":
        yield _words(text[at : at + 2])
    elif begin := _BEGIN.match(text, at):
        yield from _environment(text, at, begin)
    elif command := _COMMAND.match(text, at):
        yield from _command(text, at, command)


def _environment(text: str, at: int, begin: re.Match[str]) -> Iterator[Piece]:
    name = begin.group(1) + begin.group(2)
    if begin.group(1) not in ENVIRONMENTS:
        return
    depth = 0
    for mark in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(text, at, at + LONGEST_DISPLAY):
        depth += 1 if mark.group(1) == "begin" else -1
        if depth == 0:
            source = text[at : mark.end()]
            yield Piece(PieceKind.MATHS, source, source, block=True)
            return


def _command(text: str, at: int, command: re.Match[str]) -> Iterator[Piece]:
    name = command.group(1)
    if name in BARE_COMMANDS:
        end = command.end()
        if name == "sqrt" and text.startswith("[", end) and (close := text.find("]", end)) > 0:
            end = close + 1
        for _ in range(BARE_COMMANDS[name]):
            end = group_end(text, end)
            if end < 0:
                return
        yield Piece(PieceKind.MATHS, text[at:end], text[at:end])
    elif name in STYLED and (end := group_end(text, command.end())) > 0:
        yield from _group(text, at, command.end(), end, STYLED[name])


def _group(text: str, at: int, brace: int, end: int, style: str) -> Iterator[Piece]:
    inside = list(_joined(_scan(text[brace + 1 : end - 1])))
    if not inside:
        return
    inside[0] = replace(inside[0], source=text[at : brace + 1] + inside[0].source)
    inside[-1] = replace(inside[-1], source=inside[-1].source + "}")
    for piece in inside:
        yield replace(piece, strong=True) if style == "strong" else replace(piece, emphasis=True)


def group_end(text: str, at: int) -> int:
    """The position after the balanced `{…}` that begins at `at`; -1 if there is none."""
    if not text.startswith("{", at):
        return -1
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return -1


def _words(source: str) -> Piece:
    return Piece(PieceKind.TEXT, source, source)


def _joined(found: Iterator[Piece]) -> Iterator[Piece]:
    """Neighbouring pieces of text of the same style as one."""
    held: Piece | None = None
    for piece in found:
        if held is not None and _like(held, piece):
            held = replace(held, text=held.text + piece.text, source=held.source + piece.source)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def _like(one: Piece, other: Piece) -> bool:
    return one.kind is PieceKind.TEXT is other.kind and one.strong == other.strong and one.emphasis == other.emphasis
