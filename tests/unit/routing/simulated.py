"""Backends that answer as a test says, and rows to ask them about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainer.contract.generated import Spent
from trainer.contract.records import InputRow, TraceRecord
from trainer.routing.router import Routed, Router, Rules
from trainer.routing.values import Check, Effort, OutOfTime, Question, Reply, Sample, Tell, timed


def row(name: str, problem: str = "", reference: str | None = None) -> InputRow:
    return InputRow(
        id=name, trace="", segmentation=1, problem=problem or name, steps=(), step_ids=(), reference=reference
    )


def sample(name: str, answer: str | None, mean: float | None = -0.1, *, prm: float | None = None) -> Sample:
    trace = TraceRecord(
        id=name, row="", problem="", reference=None, text=f"The answer is {answer}.", messages=(), steps=(), model="m"
    )
    return Sample(trace=trace, answer=answer, mean=mean, least=mean, prm=prm, tokens=5)


@dataclass
class Says:
    """Says these answers to every problem; or fails; `took` is called before it answers."""

    answers: Sequence[str | None] = ("4",)
    problem: str = ""
    mean: float | None = -0.1
    name: str = "fast"
    cost: float = 1.0
    took: Callable[[], None] = lambda: None
    asked: list[tuple[tuple[str, ...], Effort]] = field(default_factory=list)

    @property
    def identity(self) -> str:
        return self.name

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        self.asked.append((tuple(question.row.id for question in questions), effort))
        look = timed(check, until)
        try:
            look()
            self.took()
            look()
        except OutOfTime:
            return [Reply((), Spent(), "late") for _ in questions]
        if self.problem:
            return [Reply((), Spent(), self.problem) for _ in questions]
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> Reply:
        made = [sample(f"{self.name} {question.row.id} {k}", a, self.mean) for k, a in enumerate(self.answers)]
        return Reply(tuple(made), Spent(tokens=5 * len(made), cost=self.cost))


def same(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    return [a == b for a, b in pairs]


def router(fast: Says, reasoning: Says | None, confidence: float | None = 0.9, **rules: object) -> Router:
    given: dict[str, object] = {"fast": Effort(n=1), "reasoning": Effort(n=1)}
    return Router(
        fast, reasoning, Rules(**given | rules), confidence=lambda _: confidence, equal=same,  # type: ignore[arg-type]
    )  # fmt: skip


def one(of: Router, name: str = "a") -> Routed:
    (route,) = of.route([Question(row(name))], lambda: None)
    return route
