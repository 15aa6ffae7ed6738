"""Which steps are contested: against a count by hand, and the order of many against a plain re-statement of it."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from tests.e2e.rollouts_made import trace
from trainer.contract.rollouts import PackedTrace
from trainer.reasoning.alarms import ALARM, AlarmCode
from trainer.reasoning.contested import contested_step, most_contested


def made(
    id: str, scores: tuple[float, ...], correct: bool | None, *, problem: str = "p", lines: tuple[str, ...] = ()
) -> PackedTrace:
    """A trace with these scores; `lines` replace its steps."""
    one = trace(id, scores, [0.0] * (3 * len(scores) + 2), correct=correct, problem=problem)
    if not lines:
        lines = tuple(f"Line {k} of {id}" for k in range(len(scores)))
    text, spans, at = "", [], 0
    for line in lines:
        spans.append((at, at + len(line)))
        text += line + "\n"
        at += len(line) + 1
    return replace(one, text=text, step_spans=tuple(spans))


@pytest.mark.parametrize(
    ("scores", "correct", "lines", "expected"),
    [
        ((0.9, 0.7, 0.95), False, (), (1, 0.7)),
        ((0.9, 0.2, 0.95), True, (), (1, 0.8)),
        ((0.9, 0.2), None, (), None),
        ((), False, (), None),
        ((0.9, 0.6), False, ("3 + 4 = 8", "so it is 8"), (0, 0.9)),
        ((0.3, 0.9), None, ("3 + 4 = 7", "7 * 2 = 15"), (1, 0.9)),
    ],
)
def test_the_contested_step_of_a_trace(
    scores: tuple[float, ...], correct: bool | None, lines: tuple[str, ...], expected: tuple[int, float] | None
) -> None:
    found = contested_step(made("t", scores, correct, lines=lines))
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.step, found.disagreement) == (expected[0], pytest.approx(expected[1]))


def test_many_come_by_disagreement_with_every_problem_before_a_second() -> None:
    draw = random.Random(5)
    traces = [
        made(f"t{n}", tuple(draw.randrange(1, 100) / 100 for _ in range(3)), draw.random() < 0.5, problem=f"p{n % 7}")
        for n in range(60)
    ]
    measured = {t.id: min(t.scores) if t.correct is False else 1 - min(t.scores) for t in traces}
    rounds: dict[str, list[str]] = {}
    for one in sorted(traces, key=lambda t: -measured[t.id]):
        rounds.setdefault(one.problem, []).append(one.id)
    firsts = sorted((ids[0] for ids in rounds.values()), key=lambda id: -measured[id])
    found = most_contested(traces, count=10)
    assert [one.trace.problem for one in found[:7]] == [next(t.problem for t in traces if t.id == id) for id in firsts]
    assert [one.disagreement for one in found[:7]] == pytest.approx([measured[id] for id in firsts])
    assert len(found) == 10
    assert len({one.trace.problem for one in found[7:]}) == 3
    assert most_contested(traces, count=3) == found[:3]


def test_of_equally_contested_steps_the_one_that_shows_the_alarm_goes_first() -> None:
    plain = made("a", (0.8, 0.8), False, problem="one", lines=("Take half of it away", "Then double the rest"))
    thanks = made("b", (0.8, 0.8), False, problem="two", lines=("Thank you", "Happy birthday"))
    worse = made("c", (0.9, 0.9), False, problem="three")
    codes = [f"{ALARM}{AlarmCode.FILLER}"]
    assert [one.trace.id for one in most_contested([plain, thanks, worse])] == ["c", "a", "b"]
    assert [one.trace.id for one in most_contested([plain, thanks, worse], codes)] == ["c", "b", "a"]


def test_the_same_text_counts_once() -> None:
    lines = ("One line", "and another")
    same = [made(id, (0.8, 0.9), False, lines=lines) for id in ("a", "b")]
    assert len(most_contested(same)) == 1
