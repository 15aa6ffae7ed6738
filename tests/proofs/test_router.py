"""The router on a simulated pair of models: near the oracle in accuracy and cost, calibrated, better than a coin.

The world is known: a problem of x numbers is right for the fast model with probability sigmoid(3 (7.5 - x) + 1.5 g),
g normal, and for the reasoning model, which costs ten times as much as three samples of the fast one, with 0.97 (0.5
for the longest problems). Samples are drawn with these probabilities; a wrong answer is one of four; the log-prob of an
answer is that of the model with some noise. The router knows nothing of this: it learns difficulty, confidence and
thresholds from other problems of the world. The oracle is the cheapest model that is right, and the cheapest where none
is: it sees the outcomes themselves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from trainer.contract.generated import Spent
from trainer.contract.records import InputRow, RouteRecord, TraceRecord
from trainer.contract.specs.route import RouteTarget
from trainer.reasoning.metrics import ece
from trainer.reasoning.routing import EVERYTHING, Thresholds, oracle, random_line
from trainer.routing.difficulty import Difficulty
from trainer.routing.learning import Learned, choices, learn_router
from trainer.routing.ledger import both_of, route_record
from trainer.routing.router import Routed, Router, Rules
from trainer.routing.values import FAST, Check, Effort, Question, Reply, Sample, Tell

FULL = os.environ.get("STEPLENS_PROOF") == "full"
LEARNED_FROM, HELD_OUT = (1500, 6000) if FULL else (800, 1200)
RIGHT = "right"


@dataclass(frozen=True)
class Simulated:
    """A model that is right with a known probability."""

    name: str
    chance: dict[str, float]
    cost: float
    seed: int

    @property
    def identity(self) -> str:
        return self.name

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        check()
        return [self._reply(question, effort) for question in questions]

    def _reply(self, question: Question, effort: Effort) -> Reply:
        g = np.random.default_rng([self.seed, int(question.row.id)])
        p = self.chance[question.row.id]
        samples = []
        for k in range(effort.n):
            right = g.random() < p
            answer = RIGHT if right else f"wrong {g.integers(4)}"
            mine = p if right else (1 - p) / 4
            said = math.log(mine) + 0.3 * g.standard_normal()
            trace = TraceRecord(
                id=f"{self.name}{question.row.id}-{k}", row=question.row.id, problem="", reference=None, text=answer,
                messages=(), steps=(), model=self.name,
            )  # fmt: skip
            samples.append(Sample(trace=trace, answer=answer, mean=min(said, 0.0), least=None, tokens=1))
        return Reply(tuple(samples), Spent(cost=effort.n * self.cost))


def world(n: int, seed: int) -> tuple[list[Question], dict[str, float], dict[str, float]]:
    """Problems and both models' chances, by id."""
    g = np.random.default_rng(seed)
    questions, fast, reasoning = [], {}, {}
    for i in range(n):
        x = int(g.integers(1, 11))
        text = f"Problem {i}: what is {' + '.join(str(g.integers(2, 99)) for _ in range(x))}?"
        row = InputRow(id=str(i), trace="", segmentation=1, problem=text, steps=(), step_ids=(), reference=RIGHT)
        questions.append(Question(row))
        fast[row.id] = 1 / (1 + math.exp(-(3 * (7.5 - x) + 1.5 * g.standard_normal())))
        reasoning[row.id] = 0.5 if x == 10 else 0.97
    return questions, fast, reasoning


def same(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    return [a == b for a, b in pairs]


def routed(seed: int, n: int, rules: Rules, learned: Learned | None) -> list[Routed]:
    """A world of its own, through a router; every problem is audited."""
    questions, fast, reasoning = world(n, seed)
    router = Router(
        Simulated("fast", fast, 1.0, seed), Simulated("reasoning", reasoning, 30.0, seed), rules,
        confidence=learned.router.confidence if learned else lambda _: 0.5, equal=same,
        judge=Difficulty(learned.difficulty).judge if learned else None,
    )  # fmt: skip
    return router.route(questions, lambda: None)


def recorded(routes: Sequence[Routed], seed: int) -> list[RouteRecord]:
    return [route_record(f"run {seed}", route, lambda answer: answer == RIGHT, {"audit": 1.0}) for route in routes]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_router_comes_near_the_oracle(seed: int):
    rules = Rules(thresholds={"": Thresholds(0.0, EVERYTHING)}, fast=Effort(n=3), reasoning=Effort(n=1), audit=1.0)
    learned = learn_router(recorded(routed(100 + seed, LEARNED_FROM, rules, None), seed))
    chosen = choices(learned.router.table, RouteTarget.ACCURACY, 0.01)
    assert chosen.reached
    routes = routed(200 + seed, HELD_OUT, replace(rules, thresholds=chosen.thresholds), learned)
    records = recorded(routes, seed)
    accuracy = float(np.mean([record.outcome == 1 for record in records]))
    cost = float(np.mean([record.spent.cost for record in records]))
    escalated = float(np.mean([route.escalated for route in routes]))
    pairs = both_of(records)
    assert pairs is not None
    best, coin = oracle(pairs), random_line(pairs, escalated)
    answers = [record.asked[0] for record in records if record.asked[0].tier == FAST]
    after = ece([step.confidence or 0.0 for step in answers], [step.outcome == 1 for step in answers])
    before = ece([route.judged.simple if route.judged else 0.0 for route in routes], pairs.fast_right)
    print(
        f"\nseed {seed}: router {accuracy:.4f} at {cost:.3f}, oracle {best.accuracy:.4f} at {best.cost:.3f} "
        f"({cost / best.cost:.3f} x), coin {coin.accuracy:.4f} at {coin.cost:.3f}, reasoning alone "
        f"{pairs.reasoning_right.mean():.4f} at 30; escalated {escalated:.3f}, asked at once "
        f"{1 - len(answers) / len(records):.3f}; ECE after {after:.4f}, before {before:.4f}"
    )
    assert accuracy >= best.accuracy - 0.02
    assert cost <= 1.3 * best.cost
    assert after < 0.05
    assert before < 0.05
    assert accuracy > coin.accuracy + 0.05
