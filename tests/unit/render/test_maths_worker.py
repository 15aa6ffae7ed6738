"""Formulas become pictures that hold something, at their baseline; what cannot be drawn says why."""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QColor

from studio.render.formula import Mask
from studio.render.latex import adapted
from studio.render.maths import tinted
from studio.render.maths_worker import draw
from studio.render.prose import formulas
from tests.unit.render.competition_formulas import FORMULAS


def drawn(latex: str, em: float = 20.0, *, display: bool = False) -> Mask:
    return Mask(*draw([(latex, display, em)])[0])


def test_almost_all_formulas_of_competitions_are_drawn() -> None:
    assert len(FORMULAS) >= 200
    results = {latex: drawn(latex) for latex in FORMULAS}
    broken = {latex: mask.trouble for latex, mask in results.items() if mask.trouble}
    assert len(broken) <= 0.005 * len(FORMULAS), broken
    for latex, mask in results.items():
        if not mask.trouble:
            assert len(mask.alpha) == mask.width * mask.height, latex
            assert max(mask.alpha) > 100, latex


def test_a_formula_takes_few_milliseconds() -> None:
    drawn("x")
    taken = []
    for latex in FORMULAS[::3]:
        began = time.process_time()
        drawn(latex)
        taken.append(time.process_time() - began)
    assert statistics.median(taken) < 0.025, "5 ms on an idle machine"


@pytest.mark.parametrize(
    ("latex", "word"),
    [
        (r"\frac{1}{", "Error"),
        ("{", "Error"),
        ("", "Error"),
        (r"\nosuchcommand x", r"\nosuchcommand"),
        (r"\ ", ""),
        ("{" * 3_000 + "}" * 3_000, ""),
    ],
)
def test_what_cannot_be_drawn_says_why(latex: str, word: str) -> None:
    mask = drawn(latex)
    assert mask.alpha == b""
    assert mask.trouble
    assert word in mask.trouble


def test_one_broken_formula_does_not_spoil_its_neighbours() -> None:
    good, bad, again = draw([("x", False, 20.0), ("{", False, 20.0), ("x", False, 20.0)])
    assert good == again
    assert bad[4]


def ink_rows(mask: Mask) -> np.ndarray:
    picture = np.frombuffer(mask.alpha, np.uint8).reshape(mask.height, mask.width)
    return np.flatnonzero(picture.max(axis=1) > 128)


def test_letters_stand_on_the_baseline() -> None:
    for latex in ("x", "E", "1"):
        assert abs(ink_rows(drawn(latex, 40.0))[-1] + 1 - drawn(latex, 40.0).ascent) <= 2
    assert ink_rows(drawn("y", 40.0))[-1] - drawn("y", 40.0).ascent > 5  # y hangs below it


def test_twice_the_size_is_twice_as_large() -> None:
    small, large = drawn(r"\frac{a}{b}", 20.0), drawn(r"\frac{a}{b}", 40.0)
    assert large.width == pytest.approx(2 * small.width, abs=4)
    assert large.height == pytest.approx(2 * small.height, abs=4)


def test_a_tint_has_the_colour_and_the_shape() -> None:
    mask = drawn("x", 40.0)
    image = tinted(mask, QColor("#3056c8"))
    strongest = max(range(len(mask.alpha)), key=mask.alpha.__getitem__)
    pixel = image.pixelColor(strongest % mask.width, strongest // mask.width)
    assert pixel.name() == "#3056c8"
    assert image.pixelColor(0, 0).alpha() == mask.alpha[0]


def test_the_same_formula_in_known_words() -> None:
    assert adapted(r"\dbinom42") == r"\left( {4} \atop {2} \right)"
    assert adapted(r"\text{if $x$ is}") == r"{\text{if }x\text{ is}}"
    assert adapted(r"\binom{n_{1}}{k}") == r"\left( {n_{1}} \atop {k} \right)"
    assert adapted(r"\framebox{2}") == r"\boxed{2}"


@pytest.mark.needs_data
def test_real_formulas_are_drawn(data_dir: Path) -> None:
    found: dict[tuple[str, bool], None] = {}
    for line in (data_dir / "prm800k" / "chosen_path_raw_schema.jsonl").read_text("utf-8").splitlines():
        question = json.loads(line)["question"]
        for text in (question["problem"], *question["pre_generated_steps"]):
            found |= dict.fromkeys((piece.text, piece.block) for piece in formulas(text))
    some = random.Random(0).sample(sorted(found), 400)
    broken = [latex for latex, block in some if drawn(latex, display=block).trouble]
    assert len(broken) <= 0.005 * len(some), broken
