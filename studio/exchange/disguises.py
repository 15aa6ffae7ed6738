r"""Where a text holds words in another form: joined by signs that show nothing, broken over lines, escaped, encoded.

Forms that are read: other case (of longer words), compatibility letters, zero-width signs, line breaks and spaces
within, percent, HTML and \\u escapes up to three deep, base64 and hexadecimal digits of them as UTF-8 or UTF-16. Every
place is one of the text itself. What is compressed, encrypted, drawn or paraphrased is not found.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from trainer.reasoning.signs import SILENT

LOOSE_FROM = 8  # characters of words that are also found in another case and across white space
DEEPEST = 3  # escapes within escapes
_ESCAPE = re.compile(
    r"(?:%[0-9a-fA-F]{2})+|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
    r"|(?:\\{1,8}u[0-9a-fA-F]{4})+|(?:\\{1,8}x[0-9a-fA-F]{2})+|\\{1,8}u\{[0-9a-fA-F]{1,6}\}|\\{1,8}U[0-9a-fA-F]{8}|(?:=[0-9A-F]{2})+|\\{1,8}/"
)
_UNITS = re.compile(r"\\+(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8}))")
_RUN = re.compile(
    r"[A-Za-z0-9+/_-]{8,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]+)*={0,2}"
    r"|(?:[0-9a-fA-F]{2}:){4,}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{2} ){4,}[0-9a-fA-F]{2}(?!\w)"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{16,})*={0,2}")
LEAST_ENCODED = 6  # signs of an encoding that are the words' own, below which it may stand by chance
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Sought:
    """Words in the form in which they are compared: exact in case and spaces, and, of longer ones, without both."""

    strict: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()  # what base64 or hexadecimal digits of the words hold in any case

    @classmethod
    def of(cls, texts: Iterable[str]) -> Sought:
        """Of plain words."""
        texts = tuple(texts)
        each = [_strict(text) for text in texts]
        strict = dict.fromkeys(one for one in each if one)
        loose = dict.fromkeys(_loose(one) for one in each if len(_loose(one)) >= LOOSE_FROM)
        encoded = dict.fromkeys(one for text in texts for one in _encodings(text))
        return cls(tuple(strict), tuple(loose), tuple(encoded))

    def stands_in(self, text: str) -> bool:
        """Whether any of the words is there in any of the forms."""
        return any(True for _ in self.places(text))

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Stretches of the text that hold the words; they may overlap."""
        if not self.strict:
            return
        if self._plainly(text):
            yield from self._mapped(text, [(place, place + 1) for place in range(len(text))])
        if _ESCAPE.search(text):
            plain, ends = text, [(place, place + 1) for place in range(len(text))]
            for _ in range(DEEPEST):
                plain, ends, changed = _unescaped(plain, ends)
                if not changed:
                    break
                if self._plainly(plain):
                    yield from self._mapped(plain, ends)
        runs = [(match.span(), _squeezed(match.group())) for match in _RUN.finditer(text)]
        together = "\n".join(run for _, run in runs)
        if not any(one in together or one in together.lower() for one in self.encoded):
            return
        yield from (span for span, run in runs if any(one in run or one in run.lower() for one in self.encoded))

    def _plainly(self, text: str) -> bool:
        strict = _strict(text)
        loose = _loose(strict) if self.loose else ""
        return any(one in strict for one in self.strict) or any(one in loose for one in self.loose)

    def _mapped(self, text: str, ends: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The places of a text whose characters came of those stretches of the original."""
        for wanted, is_loose in ((self.strict, False), (self.loose, True)):
            signs, places = _spread(text, loose=is_loose)
            for one in wanted:
                at = signs.find(one)
                while at >= 0:
                    yield ends[places[at]][0], ends[places[at + len(one) - 1]][1]
                    at = signs.find(one, at + 1)


def readings(text: str) -> Iterator[str]:
    """What a text says beside its own signs: without silent signs and line breaks, unescaped, decoded."""
    quiet = SILENT.sub("", text)
    if quiet != text:
        yield quiet
    joined = "".join(line.strip() for line in quiet.split("\n")) if "\n" in quiet else quiet
    if joined != quiet:
        yield joined
    plain = text
    for _ in range(DEEPEST):
        plain, _, changed = _unescaped(plain, None)
        if not changed:
            break
        yield plain
    for match in _LONG_RUN.finditer(text):
        said = _decoded(match.group())
        if said and said.isprintable():
            yield said


def _strict(text: str) -> str:
    """Without signs that show nothing, compatibility letters as plain ones."""
    if text.isascii():
        return text
    return SILENT.sub("", unicodedata.normalize("NFKC", text))


def _loose(strict: str) -> str:
    return _SPACE.sub("", strict.casefold())


def _spread(text: str, *, loose: bool) -> tuple[str, list[int]]:
    """The compared form of a text, and which of its characters each sign came of.

    A character with its marks is composed as one, so that "é" is found however it was written.
    """
    signs: list[str] = []
    places: list[int] = []
    at = 0
    while at < len(text):
        end = at + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        form = _strict(text[at:end])
        for sign in _loose(form) if loose else form:
            signs.append(sign)
            places.append(at)
        at = end
    return "".join(signs), places


def _unescaped(text: str, ends: list[tuple[int, int]] | None) -> tuple[str, list[tuple[int, int]], bool]:
    """One layer of escapes read; `ends` are the stretches that the characters came of, None where nobody asks."""
    parts: list[str] = []
    out: list[tuple[int, int]] = []
    at, changed = 0, False
    for match in _ESCAPE.finditer(text):
        said = _read(match.group())
        if said == match.group():
            continue
        changed = True
        parts += (text[at : match.start()], said)
        if ends is not None:
            out += ends[at : match.start()]
            out += [(ends[match.start()][0], ends[match.end() - 1][1])] * len(said)
        at = match.end()
    parts.append(text[at:])
    if ends is not None:
        out += ends[at:]
    return "".join(parts), out, changed


def _read(escape: str) -> str:
    if escape.startswith("%"):
        return unquote(escape, errors="replace")
    if escape.startswith("&"):
        return html.unescape(escape)
    if escape.startswith("="):
        return unquote(escape.replace("=", "%"), errors="replace")
    if escape.endswith("/"):
        return "/"
    codes = [int(next(filter(None, groups)), 16) for groups in _UNITS.findall(escape)]
    if any(code > 0x10FFFF for code in codes):
        return escape
    wide = "".join(map(chr, codes))
    return wide.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _squeezed(run: str) -> str:
    """A run without breaks, in the first of the two alphabets of base64."""
    return re.sub(r"[\s:=]", "", run).replace("-", "+").replace("_", "/")


def _encodings(text: str) -> Iterator[str]:
    """What every base64 text and every hexadecimal one holds of these words, wherever they begin in it."""
    for data in (text.encode("utf-8", "surrogatepass"), text.encode("utf-16-le", "surrogatepass")):
        for before in range(3):  # base64 takes three bytes together: the signs at both ends depend on neighbours
            signs = base64.b64encode(bytes(before) + data).decode().rstrip("=")
            whole = 8 * (before + len(data)) // 6  # signs that hold no bit of what follows
            core = signs[-(-8 * before // 6) : whole]
            if len(core) >= LEAST_ENCODED:
                yield core
        if len(data) * 2 >= LEAST_ENCODED + 2:
            yield data.hex()


def _decoded(run: str) -> str:
    """What a run of base64 says as UTF-8, or as UTF-16 where every second byte is nothing; empty for none."""
    plain = _squeezed(run)
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4))
        return data[::2].decode("latin-1") if not any(data[1::2]) else data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
