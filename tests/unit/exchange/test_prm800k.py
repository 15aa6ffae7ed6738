"""One line of PRM800K: what is a record, what is broken and how it is said, taking apart and building."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.exchange.prm800k import BrokenRow, parse
from studio.exchange.prm800k_parts import option_of, take_apart
from tests.unit.exchange.records import Generator, Record, exact

TRAPS = Path(__file__).with_name("traps.jsonl")


def plain() -> Record:
    record: Record = json.loads(TRAPS.read_bytes().splitlines()[0])
    return record


def parts_of(trap: str) -> tuple[Record, object]:
    record = next(r for r in map(json.loads, TRAPS.read_bytes().splitlines()) if r["_trap"] == trap)
    return record, take_apart(record, {})


def broken(line: bytes) -> str:
    with pytest.raises(BrokenRow) as error:
        parse(line)
    assert error.value.what
    assert error.value.remedy
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b'"text"', "the line is a string, not an object"),
        (b"[1]", "the line is a list, not an object"),
        (b'{"question": {}, "label": {}, "question": {}}', "the key 'question' stands twice"),
        (b'{"question" : {}, "label": {}, "label": {}}', "the key 'label' stands twice"),
        (rb'{"a\u0022b": 1, "q": {"x": 1, "x": 2}}', "the key 'x' stands twice"),
        (rb'{"x": 1, "\u0078": 2}', "the key 'x' stands twice"),
        (rb'{"a": "\ud800"}', "a lone surrogate"),
        (b'{"a": NaN}', "NaN and Infinity are not JSON"),
        (b'{"a": -Infinity}', "NaN and Infinity are not JSON"),
        (b'{"a": 1e400}', "a number is too large"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "a number is too large"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"\x00\x00\x00", "NUL bytes"),
        (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b'{"label": {}}', "question is missing"),
        (b'{"question": {"problem": "p"}}', "label is missing"),
        (b'{"question": [], "label": {}}', "question is a list ([])"),
    ],
)
def test_broken_lines_say_what_and_what_to_do(line: bytes, said: str) -> None:
    assert said in broken(line)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("labeler",), 7, "labeler is a whole number (7): it must be a string or null"),
        (("timestamp",), 1.5, "timestamp is a number (1.5)"),
        (("generation",), "3", 'generation is a string ("3")'),
        (("generation",), 2**63, "at most 64 bits"),
        (("generation",), True, "generation is true or false (true)"),
        (("is_quality_control_question",), 0, "is_quality_control_question is a whole number (0)"),
        (("question", "problem"), None, "question.problem is null"),
        (("question", "ground_truth_answer"), 2, "question.ground_truth_answer is a whole number (2)"),
        (("question", "pre_generated_steps"), "Add.", "question.pre_generated_steps is a string"),
        (("question", "pre_generated_steps"), ["a", None], "question.pre_generated_steps[1] is null"),
        (("label", "steps"), {}, "label.steps is an object"),
        (("label", "total_time"), 1.0, "label.total_time is a number (1.0)"),
        (("label", "finish_reason"), "done", "it must be one of bad_problem, found_error, give_up, solution"),
        (("label", "steps", 1), None, "label.steps[1] is null"),
        (("label", "steps", 1, "completions"), {}, "label.steps[1].completions is an object"),
        (("label", "steps", 1, "completions", 0), "x", "label.steps[1].completions[0] is a string"),
        (("label", "steps", 1, "completions", 0, "text"), None, "label.steps[1].completions[0].text is null"),
        (("label", "steps", 1, "completions", 0, "rating"), 2, "rating is a whole number (2): it must be -1, 0, 1"),
        (("label", "steps", 1, "completions", 0, "rating"), 1.0, "rating is a number (1.0)"),
        (("label", "steps", 1, "completions", 0, "rating"), True, "rating is true or false (true)"),
        (("label", "steps", 1, "completions", 0, "flagged"), 0, "flagged is a whole number (0)"),
        (("label", "steps", 1, "chosen_completion"), 1, "chosen_completion is 1: it must be one of 1 completions"),
        (("label", "steps", 1, "chosen_completion"), -1, "chosen_completion is -1"),
        (("label", "steps", 1, "chosen_completion"), 0.0, "chosen_completion is a number (0.0)"),
        (("label", "steps", 1, "human_completion"), 3, "label.steps[1].human_completion is a whole number"),
        (("label", "steps", 1, "human_completion"), {}, "label.steps[1].human_completion.text is missing"),
    ],
)
def test_wrong_types_are_named_with_their_place(path: tuple[str | int, ...], value: object, said: str) -> None:
    record: Record = plain()
    parse(json.dumps(record).encode())
    owner: Record = record
    for key in path[:-1]:
        owner = owner[key]  # type: ignore[index]
    owner[path[-1]] = value  # type: ignore[index]
    assert said in broken(json.dumps(record).encode())


def test_repeated_text_that_looks_like_keys_is_no_repeat() -> None:
    record = plain()
    record["note"] = '{"labeler": 1, "labeler": 2} \\": " : "labeler" : '
    assert exact(parse(json.dumps(record).encode())) == exact(record)
    assert exact(parse(json.dumps(record, separators=(" , ", " : ")).encode())) == exact(record)


def test_every_generated_record_is_read_as_json_reads_it() -> None:
    generator = Generator(11)
    for record in generator.records(200):
        line = generator.line(record)
        assert exact(parse(line)) == exact(json.loads(line))


@pytest.mark.parametrize("main", [0, 1, 3, None])
def test_each_completion_has_an_option_of_its_own(main: int | None) -> None:
    options = [option_of(completion, main) for completion in range(5)]
    assert len(set(options)) == 5
    if main is None:
        assert 0 not in options
    else:
        assert options[main] == 0


def test_the_chosen_completion_is_the_step_of_a_phase_1_path() -> None:
    _, parts = parts_of("phase 1, another chosen")
    assert list(parts.trace.steps) == ["c", "# Answer\n\n120"]
    assert parts.trace.answer == "120"
    assert {(r.ordinal, r.option): r.value for r in parts.annotation.ratings}[0, 0] == 1
    texts = {(each.ordinal, each.option): each.text for each in parts.annotation.candidates}
    assert texts == {(0, 1): "b", (0, 2): "a", (1, 1): "60 times 2."}


def test_a_written_step_is_rated_by_nobody() -> None:
    _, parts = parts_of("phase 1, human completion object")
    assert parts.trace.steps[0] == "A minute has 60 seconds."
    values = {(r.ordinal, r.option): r.value for r in parts.annotation.ratings}
    assert values == {(0, 1): -1, (0, 2): 0, (0, -1): None, (1, 0): 1}


def test_a_rating_never_stands_on_a_text_its_labeler_did_not_see() -> None:
    _, parts = parts_of("rated text is not the given one")
    assert [(r.ordinal, r.option) for r in parts.annotation.ratings] == [(0, 1), (1, 0)]
    _, parts = parts_of("given step stands second")
    assert [(c.option, c.text) for c in parts.annotation.candidates] == [(1, "Else.")]


def test_equal_questions_share_a_trace_whatever_the_order_of_keys() -> None:
    record, parts = parts_of("plain solution")
    turned = record | {"question": dict(reversed(record["question"].items())), "labeler": "another"}
    assert take_apart(turned, {}).trace.shared == parts.trace.shared
    other = record | {"question": record["question"] | {"pre_generated_verifier_score": 1}}
    again = record | {"question": record["question"] | {"pre_generated_verifier_score": 1.0}}
    assert len({take_apart(each, {}).trace.shared for each in (record, other, again)}) == 3
    assert len({take_apart(each, {}).problem.uid for each in (record, other, again)}) == 1
