"""Where maths begins and ends: decided by the text alone, without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.render.prose import PieceKind, as_latex, formulas, is_rtl, pieces, spoken, visible

MARKS = st.sampled_from(
    [
        *("$", "$$", "\\", "\\(", "\\)", "\\[", "\\]", "{", "}", "\\$", "`", "**", "5", "x", "and", "^", "é", "𝔸"),
        *("[asy]", "[/asy]", "\\boxed", "\\frac", "\\begin{align*}", "\\end{align*}", "```\n", "\n", "\n\n", " "),
        *("# Answer\n\n", "\0", "\r"),
    ]
)


def maths(text: str) -> list[str]:
    return [piece.text for piece in formulas(text)]


@given(st.lists(MARKS, max_size=40).map("".join))
@settings(max_examples=400, deadline=None)
def test_the_sources_joined_are_the_text(text: str) -> None:
    assert "".join(piece.source for piece in pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let $x$ be $2$.", ["x", "2"]),
        ("It costs $5 and $6 today.", []),
        ("A pencil costs $0.29.", []),
        ("each $1.24$ and $x$", ["1.24", "x"]),
        (r"They pay \$5, so $\$1.24$ is left", [r"\$1.24"]),
        ("$5 for $x$ apples", ["x"]),
        ("He has $20. He spends $5$ on it", ["5"]),
        ("unbalanced $x + 1", []),
        (r"\(a\) and \[b=1\]", ["a", "b=1"]),
        ("$$a$$ then $$b", ["a"]),
        ("$$\na = b", ["a = b"]),
        (r"as \boxed{14} or \dfrac{1}{2}", [r"\boxed{14}", r"\dfrac{1}{2}"]),
        (r"\begin{align*}a&=b\end{align*}.", [r"\begin{align*}a&=b\end{align*}"]),
        (r"\begin{center}no\end{center}", []),
        (r"$\text{costs $5$ now}$", [r"\text{costs $5$ now}"]),
        ("Find $AH:HD$ and $AB,CBA$.", ["AH:HD", "AB,CBA"]),
        ("# Answer\n\n(-\\infty, \\infty)", [r"(-\infty, \infty)"]),
        ("# Answer\n\n320,000", []),
        ("$ x $ or $ y $", ["x", "y"]),
        ("**Step $n$:**", ["n"]),
        ("`$x$` is code", []),
        ("```\n$x$\n```", []),
        ("[asy]draw($x$);[/asy]", []),
        ("$a\n\nb$", []),
        (r"\\[2pt] is no display \\(either\\)", []),
    ],
)
def test_what_is_maths(text: str, expected: list[str]) -> None:
    assert maths(text) == expected


def test_display_maths_stands_alone_and_inline_does_not() -> None:
    blocks = {piece.text: piece.block for piece in formulas(r"$a$ $$b$$ \(c\) \[d\] \begin{cases}e\end{cases}")}
    assert blocks == {"a": False, "b": True, "c": False, "d": True, r"\begin{cases}e\end{cases}": True}


def test_styles_are_kept_without_their_marks() -> None:
    shown = [(p.text, p.strong, p.emphasis) for p in pieces(r"**bold** \textbf{too} \emph{it} 50\%")]
    assert shown == [
        ("bold", True, False),
        (" ", False, False),
        ("too", True, False),
        (" ", False, False),
        ("it", False, True),
        (" 50%", False, False),
    ]


def test_markup_is_never_interpreted() -> None:
    assert [p.kind for p in pieces("<b>x</b> &amp; <img src=http://x>")] == [PieceKind.TEXT]


def test_what_hides_is_shown() -> None:
    assert visible("a\0b\r\nc\rd\u202eе\ud800\u200b\ttab") == "a⟨NUL⟩b\nc⟨CR⟩d⟨U+202E⟩е⟨U+D800⟩⟨U+200B⟩\ttab"


def test_direction_is_of_the_first_letter() -> None:
    assert is_rtl("12 שלום")
    assert not is_rtl("x שלום")


def test_latex_for_copying_compiles() -> None:
    assert as_latex("50% of $x_1$ & more_") == r"50\% of $x_1$ \& more\_"


def test_a_long_line_of_marks_is_cut_quickly() -> None:
    assert "".join(p.source for p in pieces("$ \\[ ** ` " * 20_000)).count("$") == 20_000


def test_spoken_is_one_line() -> None:
    assert spoken("So $x=1$\n\nand `y`.") == "So x=1 and y."


@pytest.mark.needs_data
def test_real_steps_leave_almost_no_mark_behind(data_dir: Path) -> None:
    texts = set()
    for line in (data_dir / "prm800k" / "chosen_path_raw_schema.jsonl").read_text("utf-8").splitlines():
        question = json.loads(line)["question"]
        texts |= {question["problem"], *question["pre_generated_steps"]}
    left = 0
    for text in texts:
        cut = pieces(text)
        assert "".join(piece.source for piece in cut) == text
        left += any(p.kind is PieceKind.TEXT and "$" in p.source.replace("\\$", "") for p in cut)
    assert left / len(texts) < 0.005
