"""Suites: what is asked, what is read of a response, and what counts, with programs that really run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.contract.records import InputRow
from trainer.contract.specs.evaluate import EvaluateSpec, Suite
from trainer.reasoning.grader import Grader
from trainer.reasoning.response import read_response
from trainer.suites import sandbox
from trainer.suites.again import comes_back
from trainer.suites.choose import kind_of
from trainer.suites.sandbox import SandboxError
from trainer.suites.values import Answered, Graded, Kind


def holds() -> bool:
    """Whether this machine can hold a program."""
    try:
        return bool(sandbox.standing())
    except SandboxError:
        return False


runs_code = pytest.mark.skipif(not holds(), reason="this machine can hold no program")


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(1) as made:
        yield made


def row(problem: str = "p", reference: str | None = None, **extra: Any) -> InputRow:
    return InputRow(
        id="r", trace="", segmentation=0, problem=problem, steps=(), step_ids=(), reference=reference, extra=extra
    )


def grade(kind: Kind, asked: InputRow, text: str) -> Graded:
    response = read_response(text)
    answered = Answered(asked, response, kind.read(asked, response))
    (graded,) = kind.grade([answered], lambda: None)
    return graded


@pytest.mark.parametrize(
    ("suite", "text", "reference", "strict", "lenient"),
    [
        (Suite.GSM8K, "so 3 + 4 = 7", "7", False, True),  # no form names it: only the flexible reading takes it
        (Suite.GSM8K, "The answer is 1,000.", "1000", True, True),
        (Suite.GSM8K, "<think>\n7\n</think>\nnone", "7", False, False),
        (Suite.MATH500, "\\boxed{50\\%}", "0.5", False, True),
        (Suite.MATH500, "so 3 + 4 = 7", "7", False, False),
        (Suite.MATH500, "\\boxed{\\frac{1}{2}}", "\\frac12", True, True),
        (Suite.AIME, "\\boxed{033}", "33", True, True),
        (Suite.OWN, "# Answer\n\n42", "42", True, True),
        (Suite.OWN, "<think>\nThe answer is 42", "42", False, False),
    ],
)
def test_two_graders(grader: Grader, suite: Suite, text: str, reference: str, strict: bool, lenient: bool) -> None:
    graded = grade(kind_of(EvaluateSpec(suite=suite), grader), row(reference=reference), text)
    assert (graded.strict, graded.lenient, graded.correct) == (strict, lenient, lenient)


def test_instructions_are_for_policies_that_were_not_taught(grader: Grader) -> None:
    for suite in (Suite.GSM8K, Suite.ARC):
        kind = kind_of(EvaluateSpec(suite=suite), grader)
        assert kind.ask(row("What?"), True) == "What?"
        asked = kind.ask(row("What?"), False)
        assert "What?" in asked
        assert len(asked) > 20
        assert kind.prefix(row()) == ""


def test_a_grid_must_be_right_in_every_cell(grader: Grader) -> None:
    kind, asked = kind_of(EvaluateSpec(suite=Suite.ARC), grader), row(reference="1 2\n3 4")
    assert grade(kind, asked, "so:\n1 2\n3 4").correct is True
    assert grade(kind, asked, "[[1, 2], [3, 4]]").correct is True
    assert grade(kind, asked, "1 2\n3 5") == Graded(False, False, False, "1 cells differ", {"wrong_cells": 1})
    assert grade(kind, asked, "1 2 3\n4 5 6").why == "2 x 3 cells, not 2 x 2"
    assert grade(kind, asked, "<think>\n1 2\n3 4").why == "no grid"
    assert list(kind.equal([("1 2", "1 2"), ("1 2", "1 3")])) == [True, False]


FUNCTION = row(
    "from math import sqrt\n\ndef half(x):\n    '''Half of x.'''\n",
    entry_point="half",
    test="def check(candidate):\n    assert candidate(4) == 2\n    assert candidate(9) == 4.5\n",
)
RIGHT = [
    "    return x / 2\n",
    "    return x / 2\n\nprint(half(3))\nraise SystemExit",
    "Here:\n```python\ndef half(x):\n    return sqrt(x * x) / 2\n```\nIt halves.",
    "```python\n    return x / 2\n```",
    "```\nwrong\n```\n<think>no</think>```python\ndef half(x):\n    return 0.5 * x\n",
    "<think>\nreturn 7?\n</think>\n```py\ndef half(x):\n    return x / 2\n```",
]
WRONG = [
    ("    return x // 2\n", "AssertionError"),
    ("    import sys; sys.exit(0)\n", "left before its last line"),
    ("    return y\n", "NameError: name 'y' is not defined"),
    ("    while True: pass\n", "took longer than 1 s"),
    ("    import os; os.fork()\n", "PermissionError: [Errno 1] Operation not permitted"),
    ("<think>\nwhat", "no program"),
]


@runs_code
def test_functions_run_against_their_tests(grader: Grader) -> None:
    kind = kind_of(EvaluateSpec(suite=Suite.HUMANEVAL, code_seconds=1.0), grader)
    texts = [*RIGHT, *(text for text, _ in WRONG)]
    answered = [Answered(FUNCTION, read_response(t), kind.read(FUNCTION, read_response(t))) for t in texts]
    graded = kind.grade(answered, lambda: None)
    assert [one.why for one in graded] == [""] * len(RIGHT) + [why for _, why in WRONG]
    assert [one.correct for one in graded] == [True] * len(RIGHT) + [False] * len(WRONG)
    assert all(one.strict == one.lenient == one.correct for one in graded)


@runs_code
def test_programs_read_and_write(grader: Grader) -> None:
    kind = kind_of(EvaluateSpec(suite=Suite.PROGRAMS, code_seconds=5.0), grader)
    cases = [{"input": "3\n1 2 3\n", "output": "6\n"}, {"input": "1\n5\n", "output": "5"}]
    asked = row("Add.", tests=cases, seconds=3.0)
    right = grade(kind, asked, "```python\nn = input()\nprint(sum(map(int, input().split())), '')\n```")
    assert right == Graded(True, True, True, "", {"passed": 2, "tests": 2})
    wrong = grade(kind, asked, "print(6)")
    assert (wrong.correct, wrong.why) == (False, "test 2 of 2: wrote '6', not '5'")
    assert wrong.detail == {"passed": 1, "tests": 2, "failed": 1}
    assert "ZeroDivisionError" in grade(kind, asked, "1 / 0").why
    assert "```python" in kind.ask(asked, False)
    assert kind.ask(asked, True) == "Add."


@runs_code
def test_a_stop_ends_the_programs(grader: Grader) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    kind = kind_of(EvaluateSpec(suite=Suite.HUMANEVAL, code_seconds=60.0), grader)
    response = read_response("    while True: pass\n")
    with pytest.raises(Stop):
        kind.grade([Answered(FUNCTION, response, kind.read(FUNCTION, response))] * 3, stop)


@runs_code
def test_the_solutions_of_humaneval_pass_and_empty_ones_fail(grader: Grader, data_dir: Path) -> None:
    kind = kind_of(EvaluateSpec(suite=Suite.HUMANEVAL), grader)
    lines = (data_dir / "code" / "humaneval.jsonl").read_text().splitlines()[::16]
    tasks = [json.loads(line) for line in lines]
    rows = [row(task["prompt"], entry_point=task["entry_point"], test=task["test"]) for task in tasks]
    answered = [
        Answered(asked, read_response(text), kind.read(asked, read_response(text)))
        for asked, task in zip(rows, tasks, strict=True)
        for text in (task["canonical_solution"], "    pass\n")
    ]
    assert [one.correct for one in kind.grade(answered, lambda: None)] == [True, False] * len(rows)


def test_what_failed_once_must_not_come_back(grader: Grader) -> None:
    kind = kind_of(EvaluateSpec(suite=Suite.REGRESSIONS), grader)
    absent = row("p", prefix="<think>\n2 + 2 =", span=" 5, so the  sum is Odd", must="absent")
    assert kind.prefix(absent) == "<think>\n2 + 2 ="
    assert kind.ask(absent, False) == "p"
    again = grade(kind, absent, "<think>\n2 + 2 = 5, so the sum\nis odd\n</think>")
    assert (again.correct, again.why) == (False, "'5, so the sum is Odd' came back")
    assert grade(kind, absent, "<think>\n2 + 2 = 4\n</think>").correct is True
    answer = row("p", "4", prefix="<think>\n2 + 2 =", span=" 5", must="answer")
    assert grade(kind, answer, "<think>\n2 + 2 = 5\n</think>\n\\boxed{4}").correct is True
    assert grade(kind, answer, "<think>\n2 + 2 = 5\n</think>\n\\boxed{5}").correct is False


def test_words_come_back_whole() -> None:
    assert comes_back("it is  Five\napples.", "five apples.")
    assert not comes_back("it is five applesauce", "five apple")
    assert not comes_back("", "five")
