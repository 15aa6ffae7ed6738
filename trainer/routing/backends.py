"""The models that a router can ask: a policy of this machine, or a model behind an address.

An endpoint that is slow, wrong, empty, limited or down costs its own answer and nothing else: what went wrong stands in
the reply, and what had come of a broken answer is kept as a trace that counts for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.contract.generated import Spent, TokenBytes, TraceBudget
from trainer.contract.records import TraceRecord, record_id
from trainer.models.answering import Asked, Writer, WrittenTrace, seed_of
from trainer.models.endpoint import Ask, Delta, Dialect, Endpoint, EndpointError, Price, RefusedError, Turn, Usage
from trainer.models.endpoint import Reply as Answer
from trainer.models.endpoint_values import Choice
from trainer.models.growing import Told
from trainer.reasoning.answers import extract
from trainer.reasoning.budget import Grant
from trainer.reasoning.recorded import record_of
from trainer.reasoning.response import Response, read_response
from trainer.reasoning.thinking import CLOSE, OPEN
from trainer.routing.confidence import answer_span, span_logprobs
from trainer.routing.values import FIRST, Check, Effort, OutOfTime, Question, Reply, Sample, Tell, timed, whole

LATE = "it was not ready when the time was up"
INSTRUCTION = "Solve the problem. End with the final answer in \\boxed{}."
LEAST_THINKING = 1024  # tokens: Anthropic takes no smaller budget
LENGTHS = ("length", "max_tokens")  # how servers call an answer that was cut off


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend's traces belong: the run, and which of its models this is."""

    run: str
    tier: str

    def id(self, question: Question, number: int) -> str:
        """The id of the record of a question's sample."""
        return record_id(self.run, question.key or question.row.id, FIRST[self.tier] + number)


class Local:
    """A policy of this machine."""

    def __init__(self, writer: Writer, name: str, identity: str, place: Place, price: Price) -> None:
        """`price` is what its tokens are held to cost."""
        self.name, self.identity = name, identity
        self._writer, self._place, self._price = writer, place, price

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """All problems are written together; a problem that it cannot read, or that is late, has no samples."""
        manner = replace(self._writer.manner, temperature=effort.temperature, top_p=effort.top_p)
        asks = [_asked(question, effort) for question in questions]
        refused = {place: why for place, ask in enumerate(asks) if (why := self._writer.objection(ask, manner))}
        left = [place for place in range(len(asks)) if place not in refused]
        began, read = time.monotonic(), self._writer.decoder.tokens_read
        hear = None if tell is None else lambda told: tell([replace(one, ask=left[one.ask]) for one in told])
        try:
            made = self._writer.write([asks[place] for place in left], timed(check, until), hear, manner=manner)
        except OutOfTime:
            seconds = (time.monotonic() - began) / len(questions)
            return [Reply((), Spent(seconds=seconds), refused.get(place, LATE)) for place in range(len(asks))]
        share = 1 / max(1, len(left))
        seconds, read = (time.monotonic() - began) * share, self._writer.decoder.tokens_read - read
        replies = {place: Reply((), Spent(), why) for place, why in refused.items()}
        for place, traces in zip(left, made, strict=True):
            samples = tuple(self._sample(questions[place], number, one) for number, one in enumerate(traces))
            usage = Usage(round(read * share), sum(sample.tokens for sample in samples))
            cost = self._price.cost(usage)
            replies[place] = Reply(
                samples, Spent(tokens=usage.output, tokens_read=usage.input, seconds=seconds, cost=cost)
            )
        return [replies[place] for place in range(len(asks))]

    def _sample(self, question: Question, number: int, written: WrittenTrace) -> Sample:
        row = question.row
        made = record_of(
            written.response, id=self._place.id(question, number), row=row.id, problem=row.problem,
            reference=row.reference, model=self.name, correct=None,
        )  # fmt: skip
        settings = {"seed": written.generated.seed, "tier": self._place.tier}
        trace = msgspec.structs.replace(made, tokens=written.tokens, budget=written.budget, settings=settings)
        return _sample(trace, written.answer, written.generated.drawn)


class Distant:
    """A model behind an OpenAI-compatible or Anthropic address. Every sample is a request of its own."""

    def __init__(self, endpoint: Endpoint, place: Place) -> None:
        self._endpoint, self._place = endpoint, place
        self._gives_logprobs = endpoint.settings.dialect is not Dialect.MESSAGES
        settings = endpoint.settings
        self.name = settings.model or settings.url
        self.identity = f"{settings.dialect} {settings.url} {settings.model}"

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """All requests at once, as far as the address's limits allow."""
        n, check = effort.n, timed(check, until)
        asks = {k: self._ask(questions[k // n], effort, k % n) for k in range(n * len(questions))}
        answers: dict[int, Answer | EndpointError] = {}
        try:
            self._send(asks, answers, check, tell)
            refused = {k: replace(asks[k], top_logprobs=None) for k in asks if isinstance(answers[k], RefusedError)}
            if refused and self._gives_logprobs:  # some servers refuse to give log-probs
                self._send(refused, answers, check, tell)
                self._gives_logprobs = not any(isinstance(answers[k], Answer) for k in refused)
        except OutOfTime:
            pass  # what has not come by now is late, and said to be so below
        replies = [
            self._reply(question, effort, {k: answers[place * n + k] for k in range(n) if place * n + k in answers})
            for place, question in enumerate(questions)
        ]
        if tell is not None and len(asks) > 1:
            tell([whole(place, k, s.trace) for place, reply in enumerate(replies) for k, s in enumerate(reply.samples)])
        return replies

    def _send(
        self, asks: dict[int, Ask], answers: dict[int, Answer | EndpointError], check: Check, tell: Tell | None
    ) -> None:
        """Put what comes into `answers` as it comes."""
        if tell is not None and len(asks) == 1:
            ((place, ask),) = asks.items()
            answers[place] = self._streamed(ask, check, tell)
            return
        places = tuple(asks)
        for number, answer in self._endpoint.ask_many(asks.values(), check=check):
            answers[places[number]] = answer

    def _ask(self, question: Question, effort: Effort, number: int) -> Ask:
        """One sample. Budgets go as the dialect can say them; thinking and answer share the tokens."""
        grant, dialect = effort.grant(question), self._endpoint.settings.dialect
        before = f"{question.context}\n\n{INSTRUCTION}" if question.context else INSTRUCTION
        thinks = dialect is Dialect.MESSAGES and grant.thinking >= LEAST_THINKING
        given: dict[str, Any] = {
            "max_tokens": grant.total,
            "temperature": None if thinks else effort.temperature,  # Anthropic draws thinking at its own temperature
            "top_p": None if thinks or effort.top_p == 1 else effort.top_p,
            "seed": (seed_of(effort.seed, question.row.problem) + number) % 2**31,
            "thinking_budget": grant.thinking if thinks else None,
            "top_logprobs": 0 if self._gives_logprobs else None,
        }
        if dialect is Dialect.COMPLETIONS:
            return Ask(prompt=f"{before}\n\n{question.row.problem}\n\n", **given)
        return Ask(turns=(Turn("system", before), Turn("user", question.row.problem)), **given)

    def _streamed(self, ask: Ask, check: Check, tell: Tell) -> Answer | EndpointError:
        """The text is told as it comes, thinking between its marks."""
        part = ""

        def hear(delta: Delta) -> None:
            nonlocal part
            now = "thinking" if delta.is_thinking else "answer"
            mark = OPEN if now == "thinking" and not part else CLOSE if now == "answer" and part == "thinking" else ""
            part = now
            tell([Told(0, 0, mark + delta.text, part=now)])

        try:
            answer = self._endpoint.ask(ask, on_delta=hear, check=check)
        except EndpointError as error:
            return error
        tell([Told(0, 0, "", part=part or "answer", done=True)])
        return answer

    def _reply(self, question: Question, effort: Effort, answers: dict[int, Answer | EndpointError]) -> Reply:
        samples, partial, problems, spent = [], [], [], Spent()
        for number in range(effort.n):
            answer = answers.get(number)
            if isinstance(answer, Answer):
                samples.append(self._sample(question, effort, number, answer))
                longer = max(0.0, answer.seconds - spent.seconds)  # samples are asked for side by side
                spent += Spent(
                    tokens=answer.usage.output, tokens_read=answer.usage.input, cost=answer.cost, seconds=longer
                )  # fmt: skip
            elif answer is None:
                problems.append(LATE)
            else:
                problems.append(str(answer))
                partial += self._partial(question, number, answer)
                if answer.partial is not None:  # no use, but paid for
                    used = answer.partial.usage
                    spent += Spent(tokens=used.output, tokens_read=used.input, cost=answer.partial.cost)
        return Reply(tuple(samples), spent, "; ".join(dict.fromkeys(problems)), tuple(partial))

    def _sample(self, question: Question, effort: Effort, number: int, answer: Answer) -> Sample:
        choice = answer.choices[0]
        grant = effort.grant(question)
        trace = self._trace(question, number, choice, answer, grant)
        drawn = answer.usage.output or (len(choice.tokens.texts) if choice.tokens else 0)
        return _sample(trace, answer_of(trace.text), drawn)

    def _trace(
        self, question: Question, number: int, choice: Choice, answer: Answer, grant: Grant | None = None
    ) -> TraceRecord:
        row, response = question.row, response_of(choice)
        made = record_of(
            response, id=self._place.id(question, number), row=row.id, problem=row.problem, reference=row.reference,
            model=self.name, correct=None,
        )  # fmt: skip
        budget = None
        if grant is not None:
            usage = answer.usage
            budget = TraceBudget(
                thinking=usage.thinking, answer=usage.output - usage.thinking, used=usage.output,
                thinking_granted=grant.thinking, answer_granted=grant.answer, ended=choice.finish,
                difficulty=grant.difficulty, by=grant.by,
            )  # fmt: skip
        settings = {"tier": self._place.tier, "url": self._endpoint.settings.url}
        tokens = tokens_of(choice, response.text)
        return msgspec.structs.replace(made, tokens=tokens, budget=budget, settings=settings)

    def _partial(self, question: Question, number: int, error: EndpointError) -> list[TraceRecord]:
        """What had come of an answer that broke off."""
        answer = error.partial
        if answer is None or not any(choice.text.strip() or choice.thinking for choice in answer.choices):
            return []
        trace = self._trace(question, number, answer.choices[0], answer)
        return [msgspec.structs.replace(trace, settings=trace.settings | {"broke_off": str(error)})]


def response_of(choice: Choice) -> Response:
    """Thinking that came apart from the text stands before it between its marks."""
    thinking = f"{OPEN}{choice.thinking}{CLOSE}" if choice.thinking else ""
    return read_response(thinking + choice.text)


def answer_of(text: str) -> str | None:
    """The final answer; of a model that was not taught how to mark it also its last number."""
    response = read_response(text)
    return response.answer or extract(response.visible.of(text), loose=True)


def tokens_of(choice: Choice, text: str) -> TokenBytes | None:
    """Log-probs of the tokens, where these are the text that they came with; it stands at the end of the trace's."""
    tokens = choice.tokens
    if tokens is None or "".join(tokens.texts) != choice.text or not tokens.texts:
        return None
    lengths = np.array([len(one) for one in tokens.texts], np.int64)
    starts = len(text) - len(choice.text) + np.cumsum(lengths) - lengths
    return TokenBytes(starts=starts.astype("<u4").tobytes(), logprobs=tokens.logprobs.astype("<f4").tobytes())


def logprobs_in(tokens: TokenBytes) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Starts and log-probs of a record's tokens."""
    return np.frombuffer(tokens.starts, "<u4"), np.frombuffer(tokens.logprobs, "<f4")


def _sample(trace: TraceRecord, answer: str | None, drawn: int) -> Sample:
    span = None
    if trace.tokens is not None and trace.tokens.logprobs:
        span = span_logprobs(answer_span(trace.text, answer), *logprobs_in(trace.tokens))
    mean, least = span if span is not None else (None, None)
    return Sample(trace=trace, answer=answer, mean=mean, least=least, tokens=drawn)


def _asked(question: Question, effort: Effort) -> Asked:
    problem = f"{question.context}\n\n{question.row.problem}" if question.context else question.row.problem
    return Asked(problem, seed_of(effort.seed, question.row.problem), effort.grant(question), effort.n)
