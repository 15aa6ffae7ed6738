"""A response read: its steps, what the user sees, its answer."""

from __future__ import annotations

from trainer.reasoning.response import read_response


def test_lines_of_the_thinking_are_the_steps_and_the_rest_is_what_the_user_sees() -> None:
    text = "<think>\n7 + 5 = 12\n\n12 * 2 = 24\n</think>\nThe answer is 24."
    found = read_response(text)
    assert found.step_texts == ("7 + 5 = 12", "12 * 2 = 24")
    assert found.visible.of(text).strip() == "The answer is 24."
    assert found.answer == "24"


def test_without_thinking_the_answers_heading_belongs_to_the_last_step() -> None:
    found = read_response("7 + 5 = 12\n12 * 2 = 24\n\n# Answer\n\n24\n")
    assert found.step_texts == ("7 + 5 = 12", "12 * 2 = 24\n\n# Answer\n\n24")
    assert found.answer == "24"


def test_an_answer_alone_is_a_step() -> None:
    assert read_response("# Answer\n\n24").step_texts == ("# Answer", "24")


def test_thinking_that_never_closes_has_steps_and_no_answer() -> None:
    found = read_response("<think>\n7 + 5 = 12\nThe answer is 12")
    assert found.step_texts == ("7 + 5 = 12", "The answer is 12")
    assert found.answer is None
    assert found.visible.of(found.text) == ""


def test_nothing_has_no_steps() -> None:
    assert read_response("  \n").steps == ()
