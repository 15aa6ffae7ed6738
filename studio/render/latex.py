"""LaTeX as people and models write it, made into LaTeX that the drawing library knows. Pure text to text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from studio.render import prose

_DROPPED = re.compile(
    r"\\(?:allowbreak|smallskip|medskip|bigskip|nonumber|notag|noindent|centering|break|relax|nolimits|par)(?![A-Za-z])"
    r"|\\(?:noalign|vspace|label|phantomsection)\*?\s*\{[^{}]*\}"
    r"|\\renewcommand\*?\s*\{[^{}]*\}\s*\{[^{}]*\}"
    r"|\\(?:setlength|addtolength)\s*\{[^{}]*\}\s*\{[^{}]*\}"
    r"|\\[hc]line(?![A-Za-z])(?:\s*\{[^{}]*\})?"
    r"|\\let(?=\\)"
)
_RENAMED = {
    "framebox": "boxed",
    "fbox": "boxed",
    "emph": "textit",
    "mbox": "text",
    "hbox": "text",
    "textnormal": "text",
    "dbinom": "binom",
    "tbinom": "binom",
    "indent": "quad",
    "overparen": "widehat",
    "Bbb": "mathbb",
    "R": "mathbb{R}",
    "N": "mathbb{N}",
    "Z": "mathbb{Z}",
    "Q": "mathbb{Q}",
    "dotsm": "cdots",
    "dotsb": "cdots",
    "dotsc": "ldots",
    "textdollar": "$",
    "lvert": "vert",
    "rvert": "vert",
    "lVert": "Vert",
    "rVert": "Vert",
}
_NAME = re.compile(r"\\([A-Za-z]+)")
_EQNARRAY = re.compile(r"\\(begin|end)\{eqnarray\*?\}")
_DOUBLE_RULE = re.compile(r"(\\begin\{array\}\s*\{[^{}|]*)\|\|")
_POWER = re.compile(r"\\begin\{([A-Za-z]*matrix)\}((?:(?!\\begin).)*?)\\end\{\1\}(?=\s*[\^_])", re.DOTALL)
_BARE_TEXT = re.compile(r"\\(text(?:bf|it|rm)?)\s*([^\s{}A-Za-z\\])")
_TABULAR = re.compile(r"\\begin\{tabular\}(?:\[[^\]]*\])?\s*", re.DOTALL)
_TABULAR_END = re.compile(r"\\end\{tabular\}")
_COLUMN_EXTRA = re.compile(r"[@!<>]\s*\{[^{}]*\}")
_TEXT = re.compile(r"\\(text|textbf|textit|textrm|textsf|texttt|mathrm)\s*(?=\{)")


def adapted(latex: str) -> str:
    """The same formula in commands the drawing library has."""
    latex = _tables(latex)
    latex = _DROPPED.sub(" ", latex)
    latex = _EQNARRAY.sub(lambda found: r"\begin{array}{rcl}" if found.group(1) == "begin" else r"\end{array}", latex)
    latex = _DOUBLE_RULE.sub(r"\1|", latex)  # the library takes `||` for a norm
    latex = _POWER.sub(lambda found: f"{{{found.group()}}}", latex)  # the library wants a base with one end
    latex = _BARE_TEXT.sub(r"\\\1{\2}", latex)
    latex = _NAME.sub(_renamed, latex).replace(r"\#", "#")
    latex = _with_arguments(latex, "tag", 1, lambda name: f"\\qquad({name})")
    latex = _with_arguments(latex, "multicolumn", 3, lambda n, _look, what: what + "&" * (_number(n) - 1))
    latex = _with_arguments(latex, "cancelto", 2, lambda to, what: f"\\cancel{{{what}}}^{{{to}}}")
    latex = _with_arguments(latex, "overarc", 1, lambda what: f"\\overset{{\\frown}}{{{what}}}")
    latex = _with_arguments(latex, "binom", 2, lambda top, low: f"\\left( {{{top}}} \\atop {{{low}}} \\right)")
    return _opened_texts(latex)


def _renamed(found: re.Match[str]) -> str:
    name = found.group(1)
    return "\\" + _RENAMED.get(name, name)


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 1


def _with_arguments(latex: str, command: str, count: int, made: object) -> str:
    assert callable(made)
    pattern = re.compile(rf"\\{command}(?![A-Za-z])\*?")
    at = 0
    while (found := pattern.search(latex, at)) is not None:
        groups, end = _groups(latex, found.end(), count)
        if len(groups) < count:
            at = found.end()
            continue
        built = str(made(*groups))
        latex = latex[: found.start()] + built + latex[end:]
        at = found.start() + (0 if f"\\{command}" in built else len(built))
    return latex


def _groups(latex: str, at: int, count: int) -> tuple[list[str], int]:
    """Up to `count` arguments from this position on, balanced groups or single signs, and where they end."""
    groups: list[str] = []
    while len(groups) < count:
        while latex[at : at + 1].isspace():
            at += 1
        end = prose.group_end(latex, at)
        if end > 0:
            groups.append(latex[at + 1 : end - 1])
        elif latex[at : at + 1].isalnum():
            end = at + 1
            groups.append(latex[at])
        else:
            break
        at = end
    return groups, at


def _opened_texts(latex: str) -> str:
    r"""`\text{if $x$ is}` as `\text{if }x\text{ is}`: the library takes dollars within text for letters."""
    out: list[str] = []
    at = 0
    while (found := _TEXT.search(latex, at)) is not None:
        end = prose.group_end(latex, found.end())
        if end < 0:
            break
        out.append(latex[at : found.start()])
        out.append(_text_parts(found.group(1), latex[found.end() + 1 : end - 1]))
        at = end
    return "".join(out) + latex[at:]


def _text_parts(command: str, inner: str) -> str:
    if not re.search(r"(?<!\\)\$|\\[(A-Za-z]", inner):
        return f"\\{command}{{{_plain(inner)}}}"
    return "{" + "".join(_styled(piece, command) for piece in prose.pieces(inner)) + "}"


def _styled(piece: prose.Piece, command: str) -> str:
    if piece.kind is prose.PieceKind.MATHS:
        return piece.text
    look = "textbf" if piece.strong else "textit" if piece.emphasis else command
    words = re.sub(r"\\(?:underline|textsc|textrm|text)\s*\{([^{}]*)\}", r"\1", piece.text)
    return f"\\{look}{{{_plain(words)}}}" if words else ""


def _plain(words: str) -> str:
    """Words as the library's text wants them: signs without their strokes, `&` as XML has it."""
    return re.sub(r"\\([$%_#{}])", r"\1", words.replace("&amp;", "&").replace(r"\&", "&")).replace("&", "&amp;")


# -- tables -----------------------------------------------------------------------------------------------------------


def _tables(latex: str) -> str:
    """`tabular` as `array`: cells of words become text, cells of maths stay."""
    while (begin := _TABULAR.search(latex)) is not None:
        end = _TABULAR_END.search(latex, begin.end())
        if end is None:
            break
        groups, body_at = _groups(latex, begin.end(), 1)
        columns = _COLUMN_EXTRA.sub("", groups[0]).replace("||", "|") if groups else "c"
        body = latex[body_at : end.start()]
        table = f"\\begin{{array}}{{{columns}}}{_body(body)}\\end{{array}}"
        latex = latex[: begin.start()] + table + latex[end.end() :]
    return latex


def _body(body: str) -> str:
    body = _with_arguments(body, "multicolumn", 3, lambda n, _look, what: what + "&" * (_number(n) - 1))
    rows = re.split(r"\\\\(?:\[[^\]]*\])?|\\tabularnewline", _DROPPED.sub(" ", body))
    return r"\\".join("&".join(_cell(cell) for cell in _cells(row)) for row in rows if row.strip())


def _cells(row: str) -> Iterator[str]:
    yield from re.split(r"(?<!\\)&", row)


def _cell(cell: str) -> str:
    inner = prose.pieces(cell.strip().replace("~", " "))
    return "".join(_styled(piece, "text") for piece in inner) or r"\;"
