"""The judge of a rubric: passages first, those that do not stand in the trace dropped, then each judged alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.events import Level
from trainer.contract.keys import KeyMissing, Keys
from trainer.contract.records import InputRow
from trainer.contract.rubrics import RubricCard, RubricQuote
from trainer.contract.specs.rubric import RubricSpec
from trainer.models.monitor_judge import Distant, Local, Speaker
from trainer.reasoning import rubric_asks
from trainer.reasoning.judging import QUOTES_TOKENS
from trainer.reasoning.monitor_looks import Check, text_of
from trainer.reasoning.segment import Span
from trainer.runtime.worker import RunFailed, Worker


@dataclass(slots=True)
class RubricJudge:
    """Asks a speaker about rows; counts what it asked, what was made up, and what was neither yes nor no."""

    spec: RubricSpec
    card: RubricCard
    speaker: Speaker
    asked: int = 0
    made_up: int = 0
    undecided: int = 0

    @classmethod
    def of(cls, worker: Worker, spec: RubricSpec, card: RubricCard, lengths: Sequence[int]) -> RubricJudge:
        """The judge that a run asks for; tells the expected cost first. Raises RunFailed."""
        if not (spec.judge or spec.judge_url):
            raise RunFailed("nobody judges: choose a model made here, or give an address")
        prices = {"price_input": spec.price_input, "price_output": spec.price_output}
        expected = rubric_asks.cost(card, lengths, spec.judge_tokens, **prices)
        worker.notice(Level.INFO, "judge_cost", expected.sentence(), questions=expected.questions)
        if spec.judge_url:
            try:
                return cls(spec, card, Distant(spec, Keys.handed(sys.stdin.buffer).of(spec.judge_key)))
            except (KeyMissing, ValueError) as error:
                raise RunFailed(str(error)) from error
        given = {model.role: model for model in worker.spec.models}.get("judge")
        source = str(worker.folder.path / given.path) if given else spec.judge
        version = given.checksum if given else spec.judge
        return cls(spec, card, Local(worker, source, (given.name if given else "") or spec.judge, version, spec.seed))

    @property
    def name(self) -> str:
        """Who judges, by which questions."""
        return f"{rubric_asks.VERSION}:{self.speaker.name}:{self.speaker.version}"[:120]

    def look(self, row: InputRow, check: Check) -> tuple[RubricQuote, ...]:
        """Passages of a row with P(yes) from `lowest` on, the likeliest, in order. Raises EndpointError."""
        text = text_of(row)
        found: list[RubricQuote] = []
        for span in self._passages(row.problem, text, check):
            self.asked += 1
            score = self.speaker.p_yes(rubric_asks.verdict_prompt(self.card, row.problem, span.of(text)), check)
            if score is None:
                self.undecided += 1
            elif score >= self.spec.lowest:
                why = "a judge says that it shows this"
                found.append(RubricQuote(start=span.start, end=span.end, quote=span.of(text), score=score, why=why))
        best = sorted(found, key=lambda quote: (-quote.score, quote.start))[: self.spec.most]
        return tuple(sorted(best, key=lambda quote: quote.start))

    def _passages(self, problem: str, text: str, check: Check) -> tuple[Span, ...]:
        found: dict[int, Span] = {}
        for window in rubric_asks.windows(text, self.spec.judge_tokens):
            self.asked += 1
            prompt = rubric_asks.extraction_prompt(self.card, problem, window.of(text))
            said = rubric_asks.passages_in(self.speaker.write(prompt, QUOTES_TOKENS, check), text, window)
            self.made_up += said.made_up
            for span in said.spans:
                found.setdefault(span.start, span)
        return tuple(found[start] for start in sorted(found))
