"""The judge of a rubric: passages first, those that do not stand in the trace dropped, then each judged alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainer.contract.events import Level
from trainer.contract.records import InputRow
from trainer.contract.rubrics import RubricCard, RubricQuote
from trainer.contract.specs.rubric import RubricSpec
from trainer.models.endpoint import EndpointError, RefusedError
from trainer.models.speakers import Check, Speaker, speaker_of
from trainer.reasoning import rubric_asks
from trainer.reasoning.judging import QUOTES_TOKENS
from trainer.reasoning.monitor_looks import text_of
from trainer.reasoning.segment import Span
from trainer.runtime.worker import RunFailed, Worker

SHOWN = 80  # characters of a refusal in a message
WHY = "a judge says that it shows this"


@dataclass(slots=True)
class _Row:
    """A row with what is known of it so far; `waits` counts its questions without an answer."""

    given: InputRow
    text: str
    said: dict[int, tuple[Span, ...]] = field(default_factory=dict)  # passages, by the place of the question
    scores: dict[int, float] = field(default_factory=dict)  # by where the passage starts
    waits: int = 0
    error: EndpointError | None = None

    @property
    def spans(self) -> dict[int, Span]:
        """By where they start; of two that start together the one of the earlier window."""
        found: dict[int, Span] = {}
        for place in sorted(self.said):
            for span in self.said[place]:
                found.setdefault(span.start, span)
        return found


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
        return cls(spec, card, speaker_of(worker, spec))

    @property
    def name(self) -> str:
        """Who judges, by which questions."""
        return f"{rubric_asks.VERSION}:{self.speaker.name}:{self.speaker.version}"[:120]

    def look(
        self, rows: Sequence[InputRow], check: Check, looked: Callable[[int], None]
    ) -> list[tuple[RubricQuote, ...] | EndpointError]:
        """Passages of each row with P(yes) from `lowest` on, the likeliest, in order; or why a row was not judged.

        `looked` hears how many of the rows are done with.
        """
        found = [_Row(row, text_of(row)) for row in rows]

        def tell() -> None:
            looked(sum(not row.waits for row in found))

        self._find_passages(found, check, tell)
        for row in found:
            row.waits = 0 if row.error else len(row.spans)
        tell()
        asked = [(row, span) for row in found if row.error is None for _, span in sorted(row.spans.items())]
        prompts = [rubric_asks.verdict_prompt(self.card, row.given.problem, span.of(row.text)) for row, span in asked]
        self.asked += len(prompts)
        for place, score in self.speaker.p_yes(prompts, check):
            row, span = asked[place]
            row.waits -= 1
            if isinstance(score, EndpointError):
                row.error = row.error or score
            elif score is None:
                self.undecided += 1
            else:
                row.scores[span.start] = score
            tell()
        return [row.error or self._kept(row) for row in found]

    def _find_passages(self, found: Sequence[_Row], check: Check, tell: Callable[[], None]) -> None:
        """Ask for the passages of all rows; those that stand in them are noted."""
        asked = [(row, window) for row in found for window in rubric_asks.windows(row.text, self.spec.judge_tokens)]
        for row, _ in asked:
            row.waits += 1
        prompts = [
            rubric_asks.extraction_prompt(self.card, row.given.problem, window.of(row.text)) for row, window in asked
        ]
        self.asked += len(prompts)
        for place, reply in self.speaker.write(prompts, QUOTES_TOKENS, check):
            row, window = asked[place]
            row.waits -= 1
            if isinstance(reply, EndpointError):
                row.error = row.error or reply
                continue
            if rubric_asks.refuses(reply):
                row.error = row.error or RefusedError(f"the judge refused: {' '.join(reply.split())[:SHOWN]!r}")
                continue
            said = rubric_asks.passages_in(reply, row.text, window)
            self.made_up += said.made_up
            row.said[place] = said.spans
            if not (row.waits or row.spans):
                tell()

    def _kept(self, row: _Row) -> tuple[RubricQuote, ...]:
        quotes = []
        for start, span in row.spans.items():
            score = row.scores.get(start)  # None: neither yes nor no
            if score is not None and score >= self.spec.lowest:
                quotes.append(RubricQuote(start=start, end=span.end, quote=span.of(row.text), score=score, why=WHY))
        best = sorted(quotes, key=lambda quote: (-quote.score, quote.start))[: self.spec.most]
        return tuple(sorted(best, key=lambda quote: quote.start))
