"""A backend whose samples a PRM scores: the least step score of each says how sure the answer is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from trainer.contract.forms import Aggregation
from trainer.contract.generated import Spent
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded
from trainer.models.prm import Judges
from trainer.placement import Encoded, PlacementError
from trainer.reasoning.response import read_response
from trainer.reasoning.votes import aggregate
from trainer.routing.values import Backend, Check, Effort, Question, Reply, Sample, Tell

PASS_TOKENS = 8192  # padded tokens in one forward pass


class Scored:
    """A backend and a PRM behind it. An outcome reward model scores the last step alone."""

    def __init__(self, inner: Backend, loaded: Loaded, checksum: str) -> None:
        self._inner, self._loaded = inner, loaded
        loaded.prm.eval().requires_grad_(False)
        self._encoder = loaded.encoder(loaded.prm.settings.max_length)
        self.name, self.identity = inner.name, f"{inner.identity} scored by {checksum}"

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """As the model behind it, with scores."""
        replies = self._inner.ask(questions, effort, check, tell, until)
        return [self._scored(q.row.problem, reply, check) for q, reply in zip(questions, replies, strict=True)]

    def _scored(self, problem: str, reply: Reply, check: Check) -> Reply:
        if not reply.samples:
            return reply
        began = time.monotonic()
        steps = [read_response(sample.trace.text).step_texts for sample in reply.samples]
        rows = [self._encoded(problem, one) for one in steps]
        parts = class_probabilities(self._loaded.prm, rows, budget=PASS_TOKENS, check=lambda _: check())
        values = [p_correct(part, len(one)) for part, one in zip(parts, steps, strict=True)]
        if self._loaded.prm.settings.judged is Judges.OUTCOME:
            values = [each[-1:] for each in values]
        samples: list[Sample] = [
            msgspec.structs.replace(sample, prm=aggregate(each, Aggregation.MIN))
            for sample, each in zip(reply.samples, values, strict=True)
        ]
        spent = reply.spent + Spent(
            prm_calls=len(rows),
            prm_tokens=sum(len(row.ids) for row in rows),
            seconds=time.monotonic() - began,
        )
        return Reply(tuple(samples), spent, reply.problem, reply.partial)

    def _encoded(self, problem: str, steps: Sequence[str]) -> Encoded:
        """Ids of a trace; one that the PRM's convention cannot place gets no score."""
        try:
            return self._encoder.encode(problem, steps)
        except PlacementError:
            return Encoded(np.empty(0, np.int64), np.empty(0, np.int64), 0)
