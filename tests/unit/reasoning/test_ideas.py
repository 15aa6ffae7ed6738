"""Steps by idea: nothing is lost, nothing whole is cut, and how often they begin where a reader says."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.reasoning.ideas import segment_ideas
from trainer.reasoning.segment import segment

READ = Path(__file__).parents[2] / "fixtures" / "segmentation"
DATA = Path(os.environ.get("STEPLENS_DATA") or Path(__file__).parents[4] / "shared" / "data")
Cut = Callable[[str], list[int]]


def parts(text: str) -> list[str]:
    return [span.of(text) for span in segment_ideas(text)]


def by_ideas(text: str) -> list[int]:
    return [span.start for span in segment_ideas(text)][1:]


def by_lines(text: str) -> list[int]:
    return [span.start for span in segment(text)][1:]


def by_newlines(text: str) -> list[int]:
    return [match.end() for match in re.finditer(r"\n+", text)]


def f1(pairs: Iterable[tuple[list[int], list[int]]]) -> float:
    """Of boundaries, all texts together."""
    right = said = true = 0
    for wanted, found in pairs:
        right += len(set(wanted) & set(found))
        said, true = said + len(found), true + len(wanted)
    return 2 * right / (said + true)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("We add 3. Then we halve it.\nDone.", ["We add 3.", "Then we halve it.", "Done."]),
        ("So $x = 3.$  Then $y = 4.$", ["So $x = 3.$", "Then $y = 4.$"]),
        ("We get\n\\[x = 3.\\]Thus it holds.", ["We get\n\\[x = 3.\\]", "Thus it holds."]),
        ("We get\n\\begin{align*}\na &= 1. \\\\\nb &= 2.\n\\end{align*}", None),
        ("Look:\n```python\nprint(1)\n\nprint(2)\n```", None),
        ("Mr. Smith met Dr. Jones, i.e. The Doctor, at 3 p.m. Today.", None),
        ('The user asks: "Add. Subtract. Divide." politely.', None),
        ("Key facts:\n- It rains.\n- It is cold.", ["Key facts:\n- It rains.", "- It is cold."]),
        ("## Plan\n1. Add all of it.\n2. Halve it.", ["## Plan\n1. Add all of it.", "2. Halve it."]),
        ("Let me look at it:\nFirst, the sum.", ["Let me look at it:", "First, the sum."]),
        ("The user wants a sum. They need it now. I add.", ["The user wants a sum. They need it now.", "I add."]),
        ("Wait, no. Actually it is 5.", ["Wait, no.", "Actually it is 5."]),
        ("$x$ is\n\\[y\\]\nwhich is odd. So it is.", ["$x$ is\n\\[y\\]\nwhich is odd.", "So it is."]),
        ("It sums to 4.\nThen 4 + 1 = 5. Correct. Next.", ["It sums to 4.", "Then 4 + 1 = 5. Correct.", "Next."]),
        ("We halve 8. 8 / 2 = 4. Then we stop.", ["We halve 8. 8 / 2 = 4.", "Then we stop."]),
        ("I should:\n1. Add it.\n2. Halve it.", ["I should:\n1. Add it.", "2. Halve it."]),
        (
            "Options, namely:\n- Flask\n- Fast API\n\nI take one.",
            ["Options, namely:\n- Flask\n- Fast API", "I take one."],
        ),
        ("Let me simplify:\n2x = 6\nx = 3\nSo three apples.", ["Let me simplify:\n2x = 6\nx = 3", "So three apples."]),
        ("We can check:\n\n{% if x %}\n<tr>\n{% endif %}", None),
        ("### 2. **Plan**\n- **Sums**:\n  - Add.\n  - Halve.", ["### 2. **Plan**\n- **Sums**:\n  - Add.", "- Halve."]),
        ("the sum is odd\n\nthe rest is even", ["the sum is odd", "the rest is even"]),
        ("西藏很高。但是很远。例如，拉萨。", ["西藏很高。", "但是很远。例如，拉萨。"]),
        ("He said no. No. 5 is odd. No. It is even.", ["He said no.", "No. 5 is odd.", "No.", "It is even."]),
        ("Add all, etc. Then halve it.", ["Add all, etc.", "Then halve it."]),
        ("We use it. The user wants a sum.", ["We use it.", "The user wants a sum."]),
        ("Take these steps: First, add it. Then halve it.", ["Take these steps:", "First, add it.", "Then halve it."]),
        ("we add\nthe two\nand halve\nthe sum", None),
        ("\n".join(f"item {k} of it" for k in range(9)), None),
        ("\n".join(f"item {k} of it" for k in range(10)), [f"item {k} of it" for k in range(10)]),
        ("So:\n" + "\n".join(["we add what comes, and so on, and on, till all that is there is in"] * 12), None),
        ("def f():\n" + "\n".join(f"    print({k})" for k in range(12)), None),
        (" \n\t\n ", []),
        ("", []),
    ],
)
def test_what_a_step_is(text: str, steps: list[str] | None) -> None:
    assert parts(text) == ([text] if steps is None else steps)


def test_only_white_space_lies_between_and_a_stretch_stands_alone() -> None:
    rng = random.Random(5)
    signs = [
        "a",
        "B",
        ".",
        "!",
        " ",
        "\n",
        "$",
        "\\[",
        "\\]",
        '"',
        "```",
        "- ",
        "1. ",
        "\\begin{x}",
        "\\end{x}",
        "é",
        "𝔸",
        ":",
    ]
    for _ in range(400):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(60)))
        start = rng.randrange(len(text) + 1)
        end = rng.randrange(start, len(text) + 1)
        at = start
        for span in segment_ideas(text, start, end):
            assert text[at : span.start].strip() == ""
            assert span.of(text).strip() == span.of(text) != ""
            at = span.end
        assert text[at:end].strip() == ""
        alone = [(span.start + start, span.end + start) for span in segment_ideas(text[start:end])]
        assert [(span.start, span.end) for span in segment_ideas(text, start, end)] == alone
    with pytest.raises(ValueError, match="no stretch"):
        segment_ideas("abc", 2, 9)


@pytest.mark.parametrize(
    "piece",
    [
        *("A. ", '"A. ', "\\[ A. ", "$ A. ", "\\begin{a}A. ", "a", "**A ", "```A. ", "1. ", "They. ", "a。"),
        *("- a\n", "a:\n- a\n", "- **a**\n", "1 = 1:\n", "# a\n", "aaaa\n\n", "[asy] A. "),
    ],
)
def test_a_long_text_is_read_once(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    spans = segment_ideas(text)
    assert sum(span.end - span.start for span in spans) > 0.6 * len(text)


def rows_of(name: str) -> list[str]:
    return [row for row in (DATA / name).read_text("utf-8").split("\n") if row]


def hand(name: str, *, sealed: bool | None = None) -> Iterator[tuple[str, list[int]]]:
    """Texts with the places where a reader says that steps begin, each at a sign that is no space."""
    known: dict[str, list[dict[str, Any]]] = {}
    for line in (READ / name).read_text("utf-8").splitlines():
        one = json.loads(line)
        if sealed is not None and one["sealed"] is not sealed:
            continue
        if one["file"] not in known:
            known[one["file"]] = [json.loads(row) for row in rows_of(one["file"])]
        value = known[one["file"]][one["row"]]
        for name in one["field"].split("."):
            value = value[name]
        value = value["solution"] if isinstance(value, dict) else value
        whole = "\n\n".join(value) if isinstance(value, list) else value
        first = one.get("start", 0)
        text = whole[first : first + one["length"]]
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == one["sha256"], "the data is not what was read"
        yield text, [len(text) - len(text[start:].lstrip()) for start in one["starts"]]


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; set STEPLENS_DATA")


@needs_data
def test_steps_begin_where_a_reader_says() -> None:
    read, sealed = list(hand("hand.jsonl")), list(hand("held_out.jsonl", sealed=True))
    others = list(hand("held_out.jsonl", sealed=False))
    assert (len(read), len(others), len(sealed)) == (200, 51, 41)

    def of(cut: Cut, some: list[tuple[str, list[int]]]) -> float:
        return f1((starts, cut(text)) for text, starts in some)

    assert of(by_ideas, read) >= 0.97
    assert of(by_ideas, others) >= 0.97
    assert of(by_ideas, sealed) >= 0.93, "nobody looked at these while the rules were changed"
    assert 0.6 < of(by_lines, read) < 0.75, "what lines alone give: docs/inspect.md tells it"
    assert 0.5 < of(by_lines, sealed) < 0.65
    assert 0.6 < of(by_newlines, read) < 0.75


@needs_data
@pytest.mark.parametrize(("name", "lines", "ideas"), [("gsm8k", 0.85, 0.58), ("math", 0.63, 0.57)])
def test_steps_of_processbench_are_coarser(name: str, lines: float, ideas: float) -> None:
    """A model put them together from paragraphs, several sentences each: whoever scores such steps keeps to lines."""
    pairs: dict[Cut, list[tuple[list[int], list[int]]]] = {by_lines: [], by_ideas: []}
    for row in rows_of(f"processbench/{name}.jsonl")[:300]:
        steps = [step.strip() for step in json.loads(row)["steps"] if step.strip()]
        starts = [sum(len(step) + 2 for step in steps[:k]) for k in range(1, len(steps))]
        for cut, found in pairs.items():
            found.append((starts, cut("\n\n".join(steps))))
    assert f1(pairs[by_lines]) == pytest.approx(lines, abs=0.01)
    assert f1(pairs[by_ideas]) == pytest.approx(ideas, abs=0.01)
