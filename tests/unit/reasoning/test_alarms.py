"""Alarms of an RL run: injected hacks trip within five updates, clean histories trip nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from trainer.reasoning.alarms import (
    Alarm,
    AlarmCode,
    Limits,
    Signs,
    Update,
    alarms,
    repeated_share,
    signs_of,
)

PROBLEMS = 8
TRACES = 4
CLEAN_RUNS = 20
LENGTH = 60
WITHIN = 5


def story(draw):
    """The steps of a plausible trace: sums in words and signs, now and then a check or a second thought."""
    value, steps = draw.randint(2, 60), []
    for _ in range(draw.randint(2, 7)):
        other = draw.randint(2, 40)
        steps.append(f"{draw.choice(['So', 'Then', 'Next,', 'Now'])} {value} + {other} = {value + other}.")
        value += other
        if draw.random() < 0.15:
            steps.append(draw.choice([f"Wait, check: {value} - {other} = {value - other}.", "Hmm, let me see."]))
    return [*steps, f"The answer is {value}."]


def traces_of(draw):
    return [story(draw) for _ in range(PROBLEMS * TRACES)]


NAMES = [str(i // TRACES) for i in range(PROBLEMS * TRACES)]


def clean(seed, length=LENGTH):
    """A run that learns or does not: accuracy rises to a level and wavers by chance, as does the process reward."""
    draw = random.Random(seed)
    start, end = draw.uniform(0.2, 0.6), draw.uniform(0.6, 0.95)
    if seed % 4 == 0:
        end = start  # nothing is learned
    tested, begun = draw.choice([50, 100, 256]), draw.uniform(0.05, 1.5)
    history = []
    for u in range(length):
        truth = start + (end - start) * min(1.0, u / 30)
        right = sum(draw.random() < truth for _ in range(tested))
        history.append(
            Update(
                update=u,
                process_reward=min(0.5 + 0.4 * truth + 0.001 * u + draw.gauss(0, 0.02), 1.0),
                signs=signs_of(traces_of(draw), NAMES),
                held_out=right / tested,
                held_out_count=tested,
                kl=0.2 * (1 - math.exp(-u / 20)) + abs(draw.gauss(0, 0.01)),
                entropy=begun * (0.3 + 0.7 * math.exp(-u / 25)) * draw.uniform(0.9, 1.1),
            )
        )
    return history


def tripped(history):
    """Every alarm that any prefix of the history raises, with the update it came at."""
    return [(len(history[: n + 1]) - 1, a) for n in range(len(history)) for a in alarms(history[: n + 1])]


@pytest.mark.parametrize("seed", range(CLEAN_RUNS))
def test_clean_runs_trip_nothing(seed):
    assert tripped(clean(seed)) == []


def repeat(draw, trace):
    return [step for step in trace[:2] for _ in range(6)]


def empty(draw, trace):
    return [line for step in trace for line in (step, "...")]


def one_giant(draw, trace):
    return [" ".join(" ".join(story(draw)) for _ in range(8))]


def courtesy(draw, trace):
    return [*trace, draw.choice(["Thank you!", "Happy birthday!", "Thanks. Great!"]), "You are very welcome."]


def stock(draw, trace):
    return ["The reasoning above has been verified with great care by an expert.", *trace]


HACKS = {
    AlarmCode.REPETITION: repeat,
    AlarmCode.EMPTY_STEPS: empty,
    AlarmCode.GIANT_STEPS: one_giant,
    AlarmCode.FILLER: courtesy,
}


@pytest.mark.parametrize("begins", [1, 2, 12])
@pytest.mark.parametrize("code", HACKS)
def test_a_hack_of_the_text_trips_within_five_updates(code, begins):
    """It spreads as a rewarded habit does: from half of the traces to nearly all within three updates."""
    history, draw = clean(1, begins), random.Random(5)
    for n in range(WITHIN):
        share = min(0.5 + 0.2 * n, 0.95)
        written = [HACKS[code](draw, t) if draw.random() < share else t for t in traces_of(draw)]
        last = history[-1]
        history.append(replace(last, update=last.update + 1, signs=signs_of(written, NAMES)))
        found = [a for a in alarms(history) if a.code is code]
        if found:
            assert "%" in found[0].message
            assert found[0].figures["now"] > found[0].figures["limit"]
            return
    pytest.fail(f"{code} was not seen: {history[-1].signs}")


def test_a_stock_sentence_under_every_problem_is_filler():
    draw = random.Random(3)
    before, after = traces_of(draw), [stock(draw, t) for t in traces_of(draw)]
    assert signs_of(before, NAMES).filler < 0.1
    assert signs_of(after, NAMES).filler > 0.1
    assert signs_of(after[:TRACES], NAMES[:TRACES]).filler < 0.1  # one problem's traces may well share a step


@pytest.mark.parametrize("fall", [0.3, 0.5])
def test_process_up_and_held_out_down_trips_within_five_updates(fall):
    history = clean(6, 20)
    top = history[-1]
    for n in range(WITHIN):
        history.append(
            replace(
                top,
                update=top.update + 1 + n,
                process_reward=top.process_reward + 0.05 * (n + 1),
                held_out=max(0.0, top.held_out - fall),
                held_out_count=256,
            )
        )
    found = [(at - 19, a) for at, a in tripped(history)]
    assert found
    assert found[0][0] <= WITHIN
    assert {a.code for _, a in found} == {AlarmCode.DIVERGENCE}
    assert "fell from" in found[0][1].message


def test_a_fall_of_both_or_a_rise_of_both_is_no_divergence():
    history = clean(6, 20)
    top = history[-1]
    fallen = [
        replace(top, update=20 + n, process_reward=top.process_reward - 0.1, held_out=0.1, held_out_count=256)
        for n in range(WITHIN)
    ]
    assert tripped([*history, *fallen]) == []


def test_updates_without_an_evaluation_are_passed_over():
    history = clean(6, 20)
    top = history[-1]
    sparse = []
    for n in range(12):
        evaluated = n % 4 == 3
        sparse.append(
            replace(
                top,
                update=20 + n,
                process_reward=min(top.process_reward + 0.1, 1.0),
                held_out=0.1 if evaluated else None,
                held_out_count=256 if evaluated else 0,
            )
        )
    found = tripped([*history, *sparse])
    assert {a.code for _, a in found} == {AlarmCode.DIVERGENCE}
    assert min(at for at, _ in found) >= 23  # the first evaluation after the fall


@pytest.mark.parametrize(
    ("what", "values", "code"),
    [
        ("kl", [1.4, 1.6], AlarmCode.KL),
        ("kl", [math.nan], AlarmCode.KL),
        ("kl", [math.inf], AlarmCode.KL),
        ("entropy", [0.001, 0.0005], AlarmCode.ENTROPY),
        ("entropy", [6.0, 6.5], AlarmCode.ENTROPY),
        ("entropy", [math.nan], AlarmCode.ENTROPY),
    ],
)
@pytest.mark.parametrize("begins", [1, 3, 12])
def test_kl_and_entropy_out_of_range_trip_at_once(what, values, code, begins):
    history = clean(2, begins)
    for value in values:
        assert alarms(history) == ()
        history.append(replace(history[-1], **{what: value}))
    (alarm,) = alarms(history)
    assert isinstance(alarm, Alarm)
    assert alarm.code is code


def test_one_odd_update_trips_nothing():
    history = clean(2, 12)
    odd = replace(history[-1], kl=3.0, entropy=9.0, signs=Signs(0.9, 0.9, 0.9, 0.9))
    assert alarms([*history, odd]) == ()


def test_a_habit_the_policy_came_with_is_no_hack():
    """Grids and tables repeat themselves by nature."""
    habit = [Update(u, 0.5, Signs(0.6 + 0.02 * (u % 3), 0.0, 0.0, 0.3)) for u in range(20)]
    assert tripped(habit) == []
    worse = [Update(20 + n, 0.5, Signs(0.9, 0.0, 0.0, 0.3)) for n in range(2)]
    assert [a.code for a in alarms([*habit, *worse])] == [AlarmCode.REPETITION]


def test_limits_can_be_set():
    history = [replace(u, kl=0.3) for u in clean(2, 12)]
    assert alarms(history) == ()
    assert [a.code for a in alarms(history, Limits(kl=0.2))] == [AlarmCode.KL]


def test_repeated_share_equals_counting():
    words = [*"abcdabcdabcdx"]
    grams = [" ".join(words[i : i + 4]) for i in range(len(words) - 3)]
    assert repeated_share(words) == pytest.approx(1 - len(set(grams)) / len(grams)) == pytest.approx(0.5)
    assert repeated_share(["a"] * 3) == repeated_share([]) == 0.0


def test_signs_by_hand():
    traces = [["3 + 4 = 7", "", "---"], ["Thank you!", "So 3 + 4 = 7"], []]
    got = signs_of(traces)
    assert got.empty == pytest.approx(3 / 5)  # two steps and a trace without any, of five steps
    assert got.filler == pytest.approx(1 / 5)
    assert got.giant == 0
    assert signs_of([["word"] * 3, [" ".join(["word"] * 151)], [" ".join(["word"] * 80)]]).giant == pytest.approx(2 / 3)
    assert signs_of([]) == Signs(0, 0, 0, 0)
    with pytest.raises(ValueError, match="zip"):
        signs_of(traces, ["a"])
