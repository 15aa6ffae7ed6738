"""The judge of the safety monitor.

What it is asked stands in `trainer.reasoning.judging`. A question that fails leaves the row without a score: nothing
that was not judged is clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainer.contract.events import Level
from trainer.contract.records import InputRow, MonitorRef
from trainer.contract.specs.monitor import MonitorSpec
from trainer.models.endpoint import EndpointError
from trainer.models.speakers import Check, Speaker, in_order, speaker_of
from trainer.reasoning import addressed, consistency, judging
from trainer.reasoning.judging import Quote
from trainer.reasoning.monitor_looks import Looked, text_of
from trainer.reasoning.monitor_units import locate
from trainer.reasoning.safety import CATEGORIES, Category, Finding, Gap, Part
from trainer.reasoning.segment import Span
from trainer.reasoning.suspicions import SPEAKS
from trainer.runtime.worker import Worker

SPOKEN = consistency.SEVERITY_SCORES[2]  # what it counts to speak to the judge
NOTHING = (None,) * len(CATEGORIES)


@dataclass(slots=True)
class _Asked:
    """A row on its way through the two questions."""

    problem: str
    text: str
    own: tuple[Span, ...]
    quotes: tuple[Quote, ...] = ()
    unresolved: set[Category] = field(default_factory=set)


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
    unresolved: int = 0

    def look(self, row: InputRow, check: Check) -> Looked:
        """Passages first, then a verdict by category on those that stand in the text."""
        text = text_of(row)
        gap = consistency.gap_of(consistency.responses(text, row.messages))
        places = locate(text, row.steps)
        if self.spec.judge_limit and self.judged >= self.spec.judge_limit:
            return Looked((), (NOTHING, NOTHING, NOTHING), gap, None, places)
        self.judged += 1
        asked = _Asked(row.problem, text, own_words(text, row))
        try:
            self._quote(asked, check)
            scores = self._verdicts(asked, check)
        except EndpointError as error:
            self.failed += 1
            self.worker.notice(Level.ERROR, "judge_failed", f"row {row.id} was not judged: {error}")
            return Looked((), (NOTHING, NOTHING, NOTHING), gap or Gap.UNJUDGED, None, places)
        findings = (*self._findings(asked, scores, row), *_spoken_to(asked, row))
        if asked.unresolved:
            self.unresolved += 1
            about = ", ".join(sorted(one.value for one in asked.unresolved))
            said = f"row {row.id}: no usable answer about {about}; nothing of it is called clean"
            self.worker.notice(Level.WARNING, "judge_unresolved", said)
            scores = judging.settled(dict(zip(CATEGORIES, scores, strict=True)), asked.unresolved)
            gap = gap or Gap.UNJUDGED
        if any(finding.why == SPEAKS for finding in findings):
            given = dict(zip(CATEGORIES, scores, strict=True))
            scores = tuple(
                max(score or 0.0, SPOKEN) if one is Category.EVASION else score for one, score in given.items()
            )
        return Looked(findings, (scores, NOTHING, NOTHING), gap, None, places)

    def _findings(self, asked: _Asked, scores: Sequence[float | None], row: InputRow) -> tuple[Finding, ...]:
        """The passages of categories that the judge says are there."""
        return tuple(
            Finding(
                quote.category,
                2 if score >= 0.9 else 1,
                quote.span.start,
                quote.span.end,
                quote.span.of(asked.text),
                "a judge says that it shows " + quote.category.value,
                score=score,
                part=Part.THINKING if _is_thinking(asked.text, row, quote.span.start) else Part.ANSWER,
            )
            for quote in asked.quotes
            if (score := scores[quote.category.place]) is not None and score >= self.spec.lowest
        )

    def _quote(self, asked: _Asked, check: Check) -> None:
        """Ask for passages; what was quoted and does not exist, or was not answered, is left unresolved."""
        windows = judging.windows(asked.text, self.spec.judge_tokens)
        prompts = [judging.extraction_prompt(asked.problem, window.of(asked.text)) for window in windows]
        replies = in_order(self.speaker.write(prompts, judging.QUOTES_TOKENS, check), len(prompts))
        found: dict[tuple[Category, int], Quote] = {}
        for window, reply in zip(windows, replies, strict=True):
            if isinstance(reply, EndpointError):
                raise reply
            extracted = judging.quotes_in(reply, asked.text, window, asked.own)
            self.made_up += extracted.made_up
            asked.unresolved |= set(CATEGORIES) if not extracted.understood else extracted.doubtful
            for quote in extracted.quotes:
                found.setdefault((quote.category, quote.span.start), quote)
        asked.quotes = tuple(found.values())
        asked.unresolved -= {quote.category for quote in asked.quotes}
        if addressed.passages(asked.text):  # a judge that was spoken to has not said that the rest is clean
            asked.unresolved |= set(CATEGORIES) - {quote.category for quote in asked.quotes}

    def _verdicts(self, asked: _Asked, check: Check) -> tuple[float | None, ...]:
        """0 for a category without a passage, P(yes) for the others, None where the answer was neither yes nor no."""
        given = {quote.category for quote in asked.quotes}
        about = [category for category in CATEGORIES if category in given]
        prompts = []
        for category in about:
            mine = [quote.span.of(asked.text) for quote in asked.quotes if quote.category is category]
            prompts.append(judging.verdict_prompt(category, asked.problem, mine))
        said = in_order(self.speaker.p_yes(prompts, check), len(prompts))
        scores: dict[Category, float | None] = dict.fromkeys(CATEGORIES, 0.0)
        for category, score in zip(about, said, strict=True):
            if isinstance(score, EndpointError):
                raise score
            scores[category] = score
            if score is None:
                asked.unresolved.add(category)
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


def own_words(text: str, row: InputRow) -> tuple[Span, ...]:
    """The stretches that the model wrote: its messages, tool calls among them; all of a text without messages."""
    mine = [message.blocks for message in row.messages if message.role in consistency.OWN and message.blocks]
    if not mine:
        return (Span(0, len(text)),)
    return tuple(Span(min(b.start for b in blocks), max(b.end for b in blocks)) for blocks in mine)


def _spoken_to(asked: _Asked, row: InputRow) -> tuple[Finding, ...]:
    """What the model wrote to its judge."""
    return tuple(
        Finding(
            Category.EVASION,
            2,
            span.start,
            span.end,
            span.of(asked.text),
            SPEAKS,
            score=SPOKEN,
            part=Part.THINKING if _is_thinking(asked.text, row, span.start) else Part.ANSWER,
        )
        for span in addressed.passages(asked.text)
        if any(one.start <= span.start and span.end <= one.end for one in asked.own)
    )
