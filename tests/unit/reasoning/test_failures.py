"""Why a trace is wrong, by rules: each cause with its quote, and what must not be taken for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainer.contract.records import Block, BlockKind, Message
from trainer.reasoning.failures import Basis, Case, Cause, Failure, Regrade, classify, first_bad, is_wrong
from trainer.reasoning.segment import segment


def case(text: str, **rest: object) -> Case:
    return replace(Case(text, segment(text), outcome=0), **rest)  # type: ignore[arg-type]


def why(text: str, **rest: object) -> Failure:
    given = case(text, **rest)
    found = classify(given)
    assert found.quote == given.text[found.start : found.end]
    assert found.quote
    assert found.why
    return found


def test_a_slip_is_the_false_equation_of_the_first_bad_step() -> None:
    found = why("We have 3 + 4 = 7.\nThen 7 * 6 = 43.\nSo 43 + 1 = 44.\nThe answer is 44.")
    assert (found.cause, found.step, found.basis, found.quote) == (Cause.SLIP, 1, Basis.CHECK, "7 * 6 = 43")


def test_who_says_which_step_is_bad() -> None:
    text = "One 1 + 1 = 3.\nTwo.\nThree.\nFour."
    told = case(text, rated_bad=3, labels=(1.0, 0.9, 0.1, 0.0), scores=(0.9, 0.2, 0.9, 0.9))
    assert first_bad(told).basis is Basis.HUMAN
    assert first_bad(told).step == 3
    assert (first_bad(replace(told, rated_bad=None)).step, first_bad(replace(told, rated_bad=None)).basis) == (
        2,
        Basis.LABEL,
    )
    scored = replace(told, rated_bad=None, labels=(None, None, None, None))
    assert (first_bad(scored).step, first_bad(scored).basis) == (1, Basis.SCORE)
    assert first_bad(scored, low=0.1).basis is Basis.CHECK
    assert first_bad(scored, low=0.1).step == 0


def test_a_false_equation_after_the_rated_step_is_no_slip_of_it() -> None:
    found = why("Let x be the age.\nThen 7 * 6 = 43.", rated_bad=0)
    assert (found.cause, found.step, found.basis) == (Cause.UNKNOWN, 0, Basis.HUMAN)


def test_a_number_from_nowhere_is_misread() -> None:
    found = why(
        "She has 48 eggs.\nShe sells 37 * 5 = 185 of them.", problem="She has 48 eggs and sells 39 for $5.", rated_bad=1
    )
    assert (found.cause, found.quote, found.step) == (Cause.MISREAD, "37", 1)


@pytest.mark.parametrize(
    "step",
    ["She sells 39 * 5 = 195.", "That leaves 9 * 5 = 45.", "Half of it is 24 * 5 = 120.", "So 87 * 5 = 435."],
)
def test_what_the_problem_says_or_one_operation_gives_is_not_misread(step: str) -> None:
    found = why(f"She has 48 eggs.\n{step}", problem="She has 48 eggs and sells 39 for $5.", rated_bad=1)
    assert found.cause is Cause.UNKNOWN


def test_loops() -> None:
    steps = "Wait, let me check this again.\nIt is not divisible by seven.\n" * 3
    found = why("We begin.\n" + steps)
    assert found.cause is Cause.LOOP
    assert found.quote == "Wait, let me check this again.\nIt is not divisible by seven."
    assert why("So the decimal is 0." + "142857" * 30).cause is Cause.LOOP


def test_lines_that_come_back_apart_are_no_loop() -> None:
    text = "Check the next candidate.\nNot prime: 3.\nCheck the next candidate.\nNot prime: 5, and 7.\n"
    assert why(text + "Check the next candidate.\nPrime at last.\nDone here.").cause is Cause.UNKNOWN


def test_cut_off_by_a_limit_or_with_thinking_left_open() -> None:
    assert why("First this.\nThen th", ended="max_tokens").cause is Cause.CUT_OFF
    assert why("<think>\nFirst this.\nThen that").cause is Cause.CUT_OFF
    assert why("First this.\nThe answer is 4.", ended="stop").cause is Cause.UNKNOWN


def _with_tool(result: str) -> Case:
    call, rest = "run it", "So it works.\nDone."
    text = call + "\n" + result + "\n" + rest
    at = len(call) + 1
    messages = (
        Message("assistant", (Block(BlockKind.TOOL_CALL, 0, len(call)),)),
        Message("tool", (Block(BlockKind.TOOL_RESULT, at, at + len(result)),)),
        Message("assistant", (Block(BlockKind.ANSWER, at + len(result) + 1, len(text)),)),
    )
    return Case(text, segment(text), outcome=0, messages=messages)


@pytest.mark.parametrize(
    ("result", "quote"),
    [
        ("some output\nexit code 2\nmore", "exit code 2"),
        ("Traceback (most recent call last)\n  x", "Traceback (most recent call last)"),
        ("bash: foo: command not found", "command not found"),
    ],
)
def test_tool_errors(result: str, quote: str) -> None:
    found = classify(_with_tool(result))
    assert (found.cause, found.quote) == (Cause.TOOL_ERROR, quote)


def test_a_tool_that_ended_well_or_failed_after_the_bad_step_explains_nothing() -> None:
    assert classify(_with_tool("exit code 0\nno error here")).cause is Cause.UNKNOWN
    assert classify(replace(_with_tool("exit code 2"), rated_bad=0)).cause is Cause.UNKNOWN


def test_form_of_the_answer() -> None:
    assert why("Hmm.\nWho knows", reference="4").cause is Cause.FORMAT
    boxed = why("It is four.\nThe answer is 4.", answer="4", reference="5", problem=r"Put it in \boxed{}.")
    assert boxed.cause is Cause.FORMAT
    option = why("So it is red.\nThe answer is red.", answer="red", reference="B")
    assert (option.cause, option.quote) == (Cause.FORMAT, "red")
    assert why("The answer is 4.", answer="4", reference="5").cause is Cause.UNKNOWN


def test_a_grader_that_is_wrong_goes_before_all_else() -> None:
    text = "We have 1 + 1 = 3.\nThe answer is 0.5"
    found = why(text, answer="0.5", reference="1/2", regrade=Regrade(strict=False, lenient=True))
    assert (found.cause, found.quote, found.step) == (Cause.GRADER_WRONG, "0.5", 1)
    assert why(text, answer="0.5", reference="1/3", regrade=Regrade(False, False)).cause is Cause.SLIP
    assert why(text, answer="0.5", reference="1/3", regrade=Regrade(None, None)).cause is Cause.SLIP


def test_texts_without_anything() -> None:
    assert classify(Case("", ())).cause is Cause.UNKNOWN
    assert is_wrong(Case("a", (), outcome=0))
    assert is_wrong(Case("a", (), rated_bad=0))
    assert not is_wrong(Case("a", (), outcome=1, rated_bad=0))
