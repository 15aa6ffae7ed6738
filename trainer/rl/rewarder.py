"""What a trace of the policy earns: the PRM scores its steps, the verifier its answer, a user's function may add.

A step that the PRM cannot read (beyond its longest row) is scored 0, and an answer that the verifier cannot decide is
paid as a wrong one: hiding must not pay. Both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded
from trainer.reasoning.budget import BudgetReward, length_reward
from trainer.reasoning.credit import CreditTrace
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.response import Response
from trainer.reasoning.what_if import as_credited
from trainer.runtime.user_code import Judgement, UserFunction, UserSteps

Verifier = Callable[[Sequence["Written"]], list[bool | None]]
HALF = 0.5  # what a user's verifier must exceed to call an answer right


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A trace as the policy wrote it: its text read, the tokens that end its steps [K], those between steps [T]."""

    problem: str
    reference: str | None
    response: Response
    step_ends: Sequence[int]
    separators: Sequence[bool]
    length: int
    thinking_tokens: int
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Earned:
    """Scores of the steps, whether the answer is right (None: undecided), what is paid for it, and the user's own part.

    `outcome` is `correct` as a number (0 where undecided), less what the length costs; None without a reference.
    """

    scores: tuple[float, ...]
    unread: int
    correct: bool | None
    outcome: float | None
    own: float

    def credit(self, trace: Written, own_weight: float) -> CreditTrace:
        """The trace as credit takes it."""
        bonus = own_weight * self.own
        return as_credited(self.scores, trace.step_ends, trace.separators, outcome=self.outcome, bonus=bonus)


class StepJudge(Protocol):
    """Who scores steps."""

    @property
    def is_there(self) -> bool:
        """Whether steps are scored at all."""
        ...

    @property
    def version(self) -> str:
        """The checksum of the PRM that scores now; empty where none lies in the run folder."""
        ...

    def scores(
        self, problems: Sequence[str], steps: Sequence[Sequence[str]], check: Callable[[], None] = lambda: None
    ) -> list[tuple[float | None, ...]]:
        """P(correct) of every step; None for a step that got no score."""
        ...

    def at(self, step: int) -> None:
        """Be the judge that is in force after `step` optimiser steps; one that never changes does nothing."""
        ...


class OwnJudge:
    """A user's function scores the steps of one trace: it returns a number in [0, 1] for each."""

    is_there = True
    version = ""

    def __init__(self, function: UserSteps) -> None:
        self._function = function

    def at(self, step: int) -> None:
        """A function stays what it is."""

    def scores(
        self, problems: Sequence[str], steps: Sequence[Sequence[str]], check: Callable[[], None] = lambda: None
    ) -> list[tuple[float | None, ...]]:
        """The function's word for every step. Raises RunFolderError when it fails or its scores do not fit."""
        check()
        return [tuple(self._function(problem, tuple(own))) for problem, own in zip(problems, steps, strict=True)]


class PrmJudge:
    """A PRM, or without one a judge that scores nothing."""

    version = ""

    def __init__(self, loaded: Loaded | None, *, pass_tokens: int = 8192) -> None:
        self._loaded, self._pass_tokens = loaded, pass_tokens
        if loaded is not None:
            loaded.prm.eval().requires_grad_(False)
            self._encoder = loaded.encoder(loaded.prm.settings.max_length)

    def scores(
        self, problems: Sequence[str], steps: Sequence[Sequence[str]], check: Callable[[], None] = lambda: None
    ) -> list[tuple[float | None, ...]]:
        """P(correct) of every step; None for a step beyond the PRM's longest row, and where there is no PRM."""
        if self._loaded is None:
            return [(None,) * len(one) for one in steps]
        encoded = [self._encoder.encode(p, s) for p, s in zip(problems, steps, strict=True)]
        with torch.inference_mode():
            parts = class_probabilities(self._loaded.prm, encoded, budget=self._pass_tokens, check=lambda _: check())
        return [p_correct(part, len(one)) for part, one in zip(parts, steps, strict=True)]

    @property
    def is_there(self) -> bool:
        """Whether steps are scored at all."""
        return self._loaded is not None

    def at(self, step: int) -> None:
        """One PRM stays what it is; see `rl.judges` for a run that changes it."""


class Rewarder:
    """Traces to what they earn."""

    def __init__(
        self,
        judge: StepJudge,
        verifier: Verifier,
        *,
        own: UserFunction | None = None,
        budget: BudgetReward = BudgetReward.NONE,
        budget_rate: float = 0.0,
    ) -> None:
        self.judge, self._verifier, self._own = judge, verifier, own
        self._budget, self._budget_rate = budget, budget_rate

    def earned(self, traces: Sequence[Written], check: Callable[[], None] = lambda: None) -> list[Earned]:
        """One for each trace, in order. Raises RunFolderError when the user's function fails."""
        steps = [trace.response.step_texts for trace in traces]
        found = self.judge.scores([trace.problem for trace in traces], steps, check)
        right = self._verifier(traces)
        return [self._one(*of) for of in zip(traces, found, right, strict=True)]

    def _one(self, trace: Written, found: tuple[float | None, ...], right: bool | None) -> Earned:
        unread = sum(score is None for score in found) if self.judge.is_there else 0
        nothing = 0.0 if self.judge.is_there else HALF
        scores = tuple(nothing if score is None else min(max(score, 0.0), 1.0) for score in found)
        outcome = None if right is None and not trace.reference else float(bool(right))
        if outcome is not None and trace.budget is not None:
            used = trace.thinking_tokens
            outcome = length_reward(bool(right), used, trace.budget, self._budget, rate=self._budget_rate)
        own = 0.0 if self._own is None else self._own(judgement_of(trace, scores))
        return Earned(scores, unread, right, outcome, own)


def judgement_of(trace: Written, scores: tuple[float, ...]) -> Judgement:
    """A trace as a user's function is given it."""
    response = trace.response
    return Judgement(
        problem=trace.problem,
        reference=trace.reference,
        text=response.text,
        thinking=response.thinking.of(response.text) if response.thinking else "",
        answer=response.answer,
        steps=response.step_texts,
        scores=scores,
    )


def grading_verifier(grader: Grader, form: GradeForm) -> Verifier:
    """Compare answers with references; without a reference nothing is decided."""

    def verify(traces: Sequence[Written]) -> list[bool | None]:
        pairs = [Pair(trace.response.answer, trace.reference or "") for trace in traces]
        return [grade.correct for grade in grader.grade(pairs, form=form)]

    return verify


def own_verifier(function: UserFunction) -> Verifier:
    """A user's function decides: above one half is right."""
    return lambda traces: [function(judgement_of(trace, ())) > HALF for trace in traces]
