"""Notations of real answers that the lenient form has to see through, each beside a near miss that it must not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import pytest

from trainer.reasoning.grader import GradeForm, Grader, Pair

EQUAL = [
    ("125\\textnormal{ miles}", "125 miles"),
    ("125\\textsf{ miles}", "125"),
    ("\\textnormal{(C)}", "C"),
    ("11,\\! 111", "11111"),
    ("11{,} 111", "11,111"),
    ("\\$11,\\! 111", "11111"),
    ("x \\approx 11", "11"),
    ("x ≈ 11", "x = 11"),
    ("\\approx 11", "11"),
    ("about 11", "11"),
    ("-x > -1", "x < 1"),
    ("2x < 4", "x < 2"),
    ("-2x \\le 4", "x \\ge -2"),
    ("x + y > 3", "y > 3 - x"),
    ("-4 \\le -2x < 0", "0 < x \\le 2"),
    ("-x > -1", "(-\\infty, 1)"),
    ("0 < 2x \\le 4", "(0, 2]"),
    ("(p,q)=(3,2)", "(3,2)"),
    ("(p,q)=(3,2)", "p=3, q=2"),
    ("(p,q)=(3,2)", "(q,p)=(2,3)"),
    ("(x,y)=(1,2),(3,4)", "(3,4),(1,2)"),
    ("3,5", "3.5"),
    ("-3,5", "-3.50"),
    ("20\\text{ square units}", "20\\text{ cm}^2"),
    ("20 square units", "20"),
    ("4\\text{ feet}", "4\\text{ units}"),
    ("2,75 m", "2.75 m"),
    ("12{,}5\\%", "12.5\\%"),
    ("0,125", "0.125"),
    ("1.234,5", "1234.5"),
    ("V_1:V_2=11:21", "11:21"),
    ("V_1:V_2 = 22:42", "\\frac{11}{21}"),
    ("a:b:c=1:2:3", "1:2:3"),
    ("1:2:3", "2:4:6"),
    ("2\\pi : 3\\sqrt{2}", "\\frac{2\\pi}{3\\sqrt{2}}"),
    ("30^\\circ:60^\\circ:90^\\circ", "1:2:3"),
]

DIFFERENT = [
    ("125\\textnormal{ miles}", "125\\textnormal{ km}"),
    ("\\textnormal{(C)}", "D"),
    ("11,\\! 11", "1111"),
    ("11, 111", "11111"),
    ("(11, 111)", "11111"),
    ("x \\approx 11", "12"),
    ("x \\approx 11", "y = 11"),
    ("x \\approx 3.14", "\\pi"),
    ("\\pi \\approx 4", "\\pi"),
    ("about 11", "12"),
    ("-x > -1", "x > 1"),
    ("-x > -1", "x > -1"),
    ("-2x \\le 4", "x \\le -2"),
    ("-2x \\le 4", "x > -2"),
    ("x + y > 3", "x - y > 3"),
    ("x^2 < 4", "x < 2"),
    ("x^2 > 0", "x^3 > 0"),
    ("\\frac1x > 0", "x > 0"),
    ("3 > 2", "5 > 1"),
    ("-4 \\le -2x < 0", "0 \\le x < 2"),
    ("-x > -1", "(-\\infty, 1]"),
    ("x < \\infty", "x > 3"),
    ("2 = 3", "5 = 9"),
    ("\\{x : x = 3\\}", "\\{x : x = 2\\}"),
    ("\\{x : x > 3\\}", "\\{x : x > 2\\}"),
    ("(p,q)=(3,2)", "(2,3)"),
    ("(p,q)=(3,2)", "(q,p)=(3,2)"),
    ("(p,q)=(3,2)", "q=3, p=2"),
    ("(p,q)=(3,2)", "\\{2,3\\}"),
    ("(p,q)=(3,2)", "3"),
    ("(1,2)=(3,4)", "(3,4)"),
    ("(3,5)", "3.5"),
    ("3, 5", "3.5"),
    ("3,0", "3"),
    ("0,1", "10\\%"),
    ("0,1", "\\frac{1}{10}"),
    ("0,1", "0.1\\%"),
    ("20\\%", "20\\text{ miles}"),
    ("20\\text{ days}", "20\\text{ square units}"),
    ("20\\text{ cm}", "20\\text{ square units}"),
    ("3:1", "3\\text{ cm}"),
    ("-2, 2", "[-2, 2]"),
    ("0,1", "(0,1]"),
    ("3,5", "3.05"),
    ("3,5", "35"),
    ("3,500", "3.5"),
    ("0,125", "125"),
    ("V_1:V_2=11:21", "21:11"),
    ("V_1:V_1=11:21", "11:21"),
    ("a:b:c=1:2:3", "1:3:2"),
    ("1:2:3", "1:6"),
    ("1:2:3", "1/6"),
    ("1:00:00", "2:00:00"),
]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(1) as made:
        yield made


@pytest.mark.parametrize(("truth", "pairs"), [(True, EQUAL), (False, DIFFERENT)], ids=["equal", "different"])
def test_both_ways_round(grader: Grader, truth: bool, pairs: list[tuple[str, str]]):
    both = [Pair(*pair) for pair in pairs] + [Pair(*reversed(pair)) for pair in pairs]
    grades = grader.grade(both, form=GradeForm.LENIENT)
    assert [pair for pair, grade in zip(both, grades, strict=True) if grade.correct is not truth] == []


def test_strictly_no_near_miss_is_equal(grader: Grader):
    grades = grader.grade([Pair(*pair) for pair in DIFFERENT], form=GradeForm.STRICT)
    assert [pair for pair, grade in zip(DIFFERENT, grades, strict=True) if grade.correct] == []


def test_times_that_are_equal_as_ratios_alone_are_undecided(grader: Grader):
    pairs = [Pair("2:15", "4:30"), Pair("2:15 PM", "4:30 PM"), Pair("02:15", "2:15"), Pair("10:20", "1:2")]
    grades = grader.grade(pairs, form=GradeForm.LENIENT)
    assert [grade.correct for grade in grades] == [None, None, True, True]


def test_linear_inequalities_against_their_solutions(grader: Grader):
    """a x + b < c x + d is x < (d-b)/(a-c), or > where a < c; each wrong neighbour of that is different."""
    draw = random.Random(3)
    pairs, truth = [], []
    while len(pairs) < 80:
        a, b, c, d = (draw.randint(-9, 9) for _ in range(4))
        if a == c:
            continue
        sign, bound = draw.choice(["<", "\\le"]), Fraction(d - b, a - c)
        turned = {"<": ">", "\\le": "\\ge"}
        solved = (sign if a > c else turned[sign], bound)
        opposite = (turned[sign] if a > c else sign, bound)
        ends = ({"<": "\\le", "\\le": "<", ">": "\\ge", "\\ge": ">"}[solved[0]], bound)
        for said, right in ((solved, True), (opposite, False), (ends, False), ((solved[0], bound + 1), False)):
            pairs.append(Pair(f"{a}x + {b} {sign} {c}x + {d}".replace("+ -", "- "), f"x {said[0]} {said[1]}"))
            truth.append(right)
    grades = grader.grade(pairs, form=GradeForm.LENIENT)
    assert [p for p, g, t in zip(pairs, grades, truth, strict=True) if g.correct is not t] == []
