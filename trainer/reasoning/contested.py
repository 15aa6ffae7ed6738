"""Which steps a person should judge after an alarm: those on which the PRM and the outcome, or a rule, disagree most.

A step that the arithmetic rule calls wrong is contested by as much as the PRM likes it. Where no rule speaks, a wrong
answer contests the weakest step of its trace by that step's score (the PRM liked every step, and one must be wrong),
and a right answer contests the weakest step by what its score lacks to 1. Pure; no model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.contract.rollouts import PackedTrace
from trainer.reasoning.alarms import ALARM, AlarmCode, Signs, signs_of
from trainer.reasoning.arithmetic import Verdict, check_step

LIKE = 0.005
"""Disagreements nearer to each other than this count as equal; the kind of the alarm decides between them."""


@dataclass(frozen=True, slots=True)
class Contested:
    """One step: its trace, its place there, its score, how far the two judgements lie apart (0 to 1), and why."""

    trace: PackedTrace
    step: int
    score: float
    disagreement: float
    why: str


def contested_step(trace: PackedTrace) -> Contested | None:
    """The most contested step of a trace; None where nothing contradicts the PRM: no steps, or nobody's verdict."""
    if not trace.scores:
        return None
    found = [*_against_rule(trace), *_against_outcome(trace)]
    return max(found, key=lambda one: one.disagreement, default=None)


def _against_rule(trace: PackedTrace) -> list[Contested]:
    texts = (trace.text[start:end] for start, end in trace.step_spans)
    return [
        Contested(trace, k, score, score, f"the PRM gives {score:.2f}, but its arithmetic is wrong")
        for k, (text, score) in enumerate(zip(texts, trace.scores, strict=True))
        if check_step(text).verdict is Verdict.WRONG
    ]


def _against_outcome(trace: PackedTrace) -> list[Contested]:
    step = min(range(len(trace.scores)), key=trace.scores.__getitem__)
    score = trace.scores[step]
    if trace.correct is True:
        why = f"the PRM gives {score:.2f}, but the answer is right"
        return [Contested(trace, step, score, 1.0 - score, why)]
    if trace.correct is False:
        why = f"the PRM's lowest score of the trace is {score:.2f}, but the answer is wrong"
        return [Contested(trace, step, score, score, why)]
    return []


def most_contested(traces: Sequence[PackedTrace], alarms: Sequence[str] = (), count: int = 10) -> tuple[Contested, ...]:
    """At most `count` steps, one a trace, the most contested first; as many problems as there are come before a second.

    `alarms` are the codes of the run's alarms: of two equally contested steps, the one whose trace shows what the alarm
    is about goes first. Traces of the same text count once.
    """
    distinct = {(one.problem, one.text): one for one in traces}
    found = [one for trace in distinct.values() if (one := contested_step(trace)) is not None]
    shows = {one.trace.id: _shows(one.trace, alarms) for one in found}

    def order(one: Contested) -> tuple[float, float, str]:
        return (-round(one.disagreement / LIKE), -shows[one.trace.id], one.trace.id)

    ranked = sorted(found, key=order)
    before: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    for place, one in enumerate(ranked):
        nth = before.get(one.trace.problem, 0)
        before[one.trace.problem] = nth + 1
        places.append((nth, place))
    return tuple(ranked[place] for _, place in sorted(places)[:count])


_SIGN_OF: Mapping[str, str] = {
    AlarmCode.REPETITION: "repetition",
    AlarmCode.EMPTY_STEPS: "empty",
    AlarmCode.GIANT_STEPS: "giant",
    AlarmCode.FILLER: "filler",
}


def _shows(trace: PackedTrace, alarms: Sequence[str]) -> float:
    """How much of what the alarms are about this trace shows, from 0 on."""
    steps = [trace.text[start:end] for start, end in trace.step_spans]
    signs: Signs = signs_of([steps])
    codes = [code.removeprefix(ALARM) for code in alarms]
    total = sum(float(getattr(signs, _SIGN_OF[code])) for code in codes if code in _SIGN_OF)
    return total + (trace.correct is False) * (AlarmCode.DIVERGENCE in codes)
