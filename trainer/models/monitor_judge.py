"""The judge of the safety monitor.

What it is asked stands in `trainer.reasoning.judging`. A question that fails leaves the row without a score: nothing
that was not judged is clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.events import Level
from trainer.contract.records import InputRow, MonitorRef
from trainer.contract.specs.monitor import MonitorSpec
from trainer.models.endpoint import EndpointError
from trainer.models.speakers import Check, Speaker, in_order, speaker_of
from trainer.reasoning import consistency, judging
from trainer.reasoning.judging import Quote
from trainer.reasoning.monitor_looks import Looked, text_of
from trainer.reasoning.monitor_units import locate
from trainer.reasoning.safety import CATEGORIES, Category, Finding, Part
from trainer.runtime.worker import Worker

NOTHING = (None,) * len(CATEGORIES)


@dataclass(slots=True)
class Judge:
    """Asks a speaker about rows; `ref` says who judges."""

    worker: Worker
    spec: MonitorSpec
    speaker: Speaker
    ref: MonitorRef
    judged: int = 0
    made_up: int = 0
    failed: int = 0

    def look(self, row: InputRow, check: Check) -> Looked:
        """Passages first, then a verdict by category on those that stand in the text."""
        text = text_of(row)
        gap = consistency.gap_of(consistency.responses(text, row.messages))
        places = locate(text, row.steps)
        if self.spec.judge_limit and self.judged >= self.spec.judge_limit:
            return Looked((), (NOTHING, NOTHING, NOTHING), gap, None, places)
        self.judged += 1
        try:
            quotes = self._quotes(row.problem, text, check)
            scores = self._verdicts(row.problem, text, quotes, check)
        except EndpointError as error:
            self.failed += 1
            self.worker.notice(Level.ERROR, "judge_failed", f"row {row.id} was not judged: {error}")
            return Looked((), (NOTHING, NOTHING, NOTHING), gap, None, places)
        findings = tuple(
            Finding(
                quote.category,
                2 if score >= 0.9 else 1,
                quote.span.start,
                quote.span.end,
                quote.span.of(text),
                "a judge says that it shows " + quote.category.value,
                score=score,
                part=Part.THINKING if _is_thinking(text, row, quote.span.start) else Part.ANSWER,
            )
            for quote in quotes
            if (score := scores[quote.category.place]) is not None and score >= self.spec.lowest
        )
        return Looked(findings, (scores, NOTHING, NOTHING), gap, None, places)

    def _quotes(self, problem: str, text: str, check: Check) -> tuple[Quote, ...]:
        found: dict[tuple[Category, int], Quote] = {}
        windows = judging.windows(text, self.spec.judge_tokens)
        prompts = [judging.extraction_prompt(problem, window.of(text)) for window in windows]
        replies = in_order(self.speaker.write(prompts, judging.QUOTES_TOKENS, check), len(prompts))
        for window, reply in zip(windows, replies, strict=True):
            if isinstance(reply, EndpointError):
                raise reply
            extracted = judging.quotes_in(reply, text, window)
            self.made_up += extracted.made_up
            for quote in extracted.quotes:
                found.setdefault((quote.category, quote.span.start), quote)
        return tuple(found.values())

    def _verdicts(self, problem: str, text: str, quotes: Sequence[Quote], check: Check) -> tuple[float | None, ...]:
        """0 for a category without a passage, P(yes) for the others, None where the answer was neither yes nor no."""
        given = {quote.category for quote in quotes}
        asked = [category for category in CATEGORIES if category in given]
        prompts = []
        for category in asked:
            mine = [quote.span.of(text) for quote in quotes if quote.category is category]
            prompts.append(judging.verdict_prompt(category, problem, mine))
        said = in_order(self.speaker.p_yes(prompts, check), len(prompts))
        scores: dict[Category, float | None] = dict.fromkeys(CATEGORIES, 0.0)
        for category, score in zip(asked, said, strict=True):
            if isinstance(score, EndpointError):
                raise score
            scores[category] = score
        return tuple(scores.values())


def judge_of(worker: Worker, spec: MonitorSpec) -> Judge:
    """The judge that a run asks for; tells the expected cost first. Raises RunFailed."""
    lengths = [len(text_of(row)) for row in worker.folder.read_input()]
    if spec.judge_limit:
        lengths = lengths[: spec.judge_limit]
    expected = judging.cost(lengths, spec.judge_tokens, price_input=spec.price_input, price_output=spec.price_output)
    worker.notice(Level.INFO, "judge_cost", expected.sentence(), questions=expected.questions)
    speaker = speaker_of(worker, spec)
    ref = MonitorRef(kind="judge", name=speaker.name, version=f"{judging.VERSION}:{speaker.version}"[:80])
    return Judge(worker, spec, speaker, ref)


def _is_thinking(text: str, row: InputRow, place: int) -> bool:
    """Whether this code point belongs to the thinking."""
    return any(
        piece.part is Part.THINKING and piece.start <= place < piece.end
        for response in consistency.responses(text, row.messages)
        for piece in response.pieces
    )
