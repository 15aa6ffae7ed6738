"""A policy answers problems: thinking and answer under budgets, n traces a problem, told token by token.

What a trace becomes depends on the policy, its prompt, its budget and its own seed alone, not on what is written
beside it (but for the rounding of sums, whose order depends on the size of a batch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.contract.generated import Settings, TokenBytes, TraceBudget
from trainer.contract.records import InputRow, Message, Step, TraceRecord, record_id
from trainer.models.asking import Asking, AskingError, Manner, Opening
from trainer.models.generate import Decoder, Prefix, PromptError
from trainer.models.growing import Growing, Told
from trainer.models.lanes import rule_after
from trainer.models.policies import LoadedPolicy
from trainer.models.sampling import BudgetRule, Delta, Ended, Generated, Sampling, ThinkingEnded
from trainer.models.unfolding import TokenText
from trainer.prompts import PromptError as PromptFormError
from trainer.reasoning.budget import Grant
from trainer.reasoning.recorded import messages_of, record_of, steps_of
from trainer.reasoning.response import Response, read_response
from trainer.reasoning.thinking import CLOSE
from trainer.runtime.worker import Worker

__all__ = [
    "Asked", "AskingError", "Grant", "Growing", "Manner", "Told", "Writer", "WrittenTrace", "finished", "joined",
    "record", "seed_of",
]  # fmt: skip

STEP_END = "\n"
BLANK_LINES = 4  # that may stand before a next step
SLACK = 32  # tokens of marks, which count in no budget

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem to answer: traces number `first` to `n` of those that `seed` gives, behind a prefix of the response.

    With `next_step` each ends after one step (a line; where that closes the thinking, the answer belongs to it).
    """

    problem: str
    seed: int
    grant: Grant
    n: int = 1
    prefix: str = ""
    next_step: bool = False
    first: int = 0

    @property
    def seeds(self) -> list[int]:
        """One for each trace; a longer list begins like a shorter one."""
        return [int(one) for one in np.random.SeedSequence(self.seed).generate_state(self.n)[self.first :]]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenTrace:
    """A finished trace. `text` holds the prefix too; `generated` only what was drawn."""

    response: Response
    tokens: TokenBytes
    budget: TraceBudget
    generated: Generated

    @property
    def text(self) -> str:
        """Thinking, marks and answer."""
        return self.response.text

    @property
    def messages(self) -> tuple[Message, ...]:
        """Its one message with its blocks."""
        return messages_of(self.response)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its steps as spans."""
        return steps_of(self.response)

    @property
    def answer(self) -> str | None:
        """Its final answer."""
        return self.response.answer


def seed_of(seed: int, problem: str) -> int:
    """The seed of a problem's traces in a run: the same wherever it stands among the others."""
    return int.from_bytes(sha256(f"{seed}\0{problem}".encode()).digest()[:8])


OnText = Callable[[Sequence[Told]], None]


class Writer:
    """Lets a policy answer. The weights stay as they are: what it has read of a prefix is kept and used again."""

    def __init__(self, policy: LoadedPolicy, manner: Manner | None = None, *, rows: int = 64) -> None:
        """`rows` traces are written at once."""
        self.policy, self.manner = policy, manner or Manner()
        policy.language.requires_grad_(False)
        self.decoder = Decoder(policy.language.model, policy.tokenizer, frozen=True, rows=rows)
        self.asking = Asking(policy)
        self.tokens = TokenText(policy.tokenizer)

    def objection(self, asked: Asked, manner: Manner | None = None) -> str:
        """Why this cannot be asked; empty when it can."""
        try:
            self.decoder.prefix(self._opening(asked, manner or self.manner).ids)
        except (AskingError, PromptError, PromptFormError) as error:
            return str(error)
        return ""

    def write(
        self,
        asks: Sequence[Asked],
        check: Check = lambda: None,
        on_text: OnText | None = None,
        *,
        manner: Manner | None = None,
    ) -> list[list[WrittenTrace]]:
        """The traces of every problem, in order. Raises AskingError, PromptError, and what `check` raises."""
        manner = manner or self.manner
        made: list[list[WrittenTrace]] = [[] for _ in asks]
        for by_step in (False, True):
            chosen = [place for place, asked in enumerate(asks) if asked.next_step is by_step]
            if not chosen:
                continue
            writing = _Writing(self, [(place, asks[place]) for place in chosen], manner, check, on_text)
            for place, written in writing.write(by_step):
                made[place].append(written)
        return made

    def _opening(self, asked: Asked, manner: Manner) -> Opening:
        return self.asking.opening(asked.problem, asked.grant, manner, asked.prefix)


@dataclass(slots=True, eq=False)
class _Trace:
    """A trace on its way: the ids so far, and how far it was told."""

    place: int
    number: int
    seed: int
    grant: Grant
    opening: Opening
    at: Prefix
    rule: BudgetRule
    growing: Growing
    made: Generated | None = None

    def take(self, made: Generated) -> None:
        """What was drawn since the last time."""
        self.made = made if self.made is None else joined(self.made, made)
        self.rule = rule_after(self.rule, made)
        self.at = made.prefix or self.at


class _Writing:
    """The traces of one call."""

    def __init__(
        self, writer: Writer, asks: Sequence[tuple[int, Asked]], manner: Manner, check: Check, on_text: OnText | None
    ) -> None:
        self._writer, self._manner, self._check, self._on_text = writer, manner, check, on_text
        stops = frozenset(writer.decoder.stop_ids)
        self._now: list[_Trace] = []
        self._tells_done = False
        decoder = writer.decoder
        self._traces: list[_Trace] = []
        prompts: dict[tuple[int, ...], Prefix] = {}
        for place, asked in asks:
            opening = writer._opening(asked, manner)
            prompt = prompts.setdefault(opening.prompt, decoder.prefix(opening.prompt))
            at = decoder.extend(prompt, opening.given)
            for number, seed in enumerate(asked.seeds, asked.first):
                growing = Growing(writer.tokens, opening, stops, place, number)
                self._traces.append(_Trace(place, number, seed, asked.grant, opening, at, opening.rule, growing))

    def write(self, by_step: bool) -> list[tuple[int, WrittenTrace]]:
        """All of them, to their end or for one step."""
        if by_step:
            self._steps()
        else:
            self._tells_done = True
            self._draw(self._traces, ())
        out = [(trace.place, self._written(trace)) for trace in self._traces]
        if self._on_text is not None:
            self._on_text([trace.growing.rest() for trace in self._traces])
        return out

    def _steps(self) -> None:
        """A line that is not blank; where it closes the thinking, all that follows."""
        going = self._traces
        for number in range(BLANK_LINES):
            self._draw(going, (STEP_END,), number)
            closed = [t for t in going if t.made and t.made.ended is Ended.TEXT and CLOSE in self._new(t)]
            if closed:
                self._draw(closed, (), BLANK_LINES)
            going = [t for t in going if t.made and t.made.ended is Ended.TEXT and not self._new(t).strip()]
            if not going:
                return

    def _new(self, trace: _Trace) -> str:
        assert trace.made is not None
        return self._writer.tokens.of(trace.made.ids.tolist())

    def _draw(self, traces: Sequence[_Trace], stop_texts: tuple[str, ...], part: int = 0) -> None:
        self._now = list(traces)
        manner = self._manner
        sampling = Sampling(
            manner.temperature,
            manner.top_p,
            max(trace.grant.total for trace in traces) + SLACK,
            stop_texts=stop_texts,
        )
        made = self._writer.decoder.generate(
            [trace.at for trace in traces],
            sampling,
            seeds=[trace.seed + (part << 32) for trace in traces],
            budgets=[trace.rule for trace in traces],
            check=self._check,
            on_tokens=None if self._on_text is None else self._hear,
            keep=bool(stop_texts),
        )
        for trace, (one,) in zip(traces, made, strict=True):
            trace.take(one)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _hear(self, deltas: Sequence[Delta]) -> None:
        told = [self._now[delta.prompt].growing.tell(delta, tells_done=self._tells_done) for delta in deltas]
        assert self._on_text is not None
        self._on_text([one for one in told if one is not None])

    # -- results ------------------------------------------------------------------------------------------------------

    def _written(self, trace: _Trace) -> WrittenTrace:
        assert trace.made is not None
        return finished(self._writer.tokens, trace.opening, trace.grant, trace.made)


def record(
    worker: Worker,
    row: InputRow,
    index: int,
    written: WrittenTrace,
    *,
    correct: bool | None = None,
    settings: Settings | None = None,
    source: str = "",
    forked_at: int | None = None,
    key: str = "",
) -> TraceRecord:
    """The record of a trace: number `index` of its row in this run, or of `key`, the request that asked for it."""
    given = next((model for model in worker.spec.models if model.role == "model"), None)
    made = record_of(
        written.response,
        id=record_id(worker.spec.run, key or row.id, index),
        row=row.id,
        problem=row.problem,
        reference=row.reference,
        model=(given.name if given else "") or str(worker.spec.parameters.get("model", "")),
        correct=correct,
    )
    return msgspec.structs.replace(
        made,
        tokens=written.tokens,
        budget=written.budget,
        settings={"seed": written.generated.seed, **(settings or {})},
        source=source,
        forked_at=forked_at,
    )


def _budget(opening: Opening, grant: Grant, made: Generated) -> TraceBudget:
    rule, thinks = opening.rule, opening.thinks
    thinking = max(0, rule.thinking_used + made.thinking_tokens)
    answer = rule.answer_used + made.answer_tokens
    return TraceBudget(
        thinking=thinking,
        answer=answer,
        used=thinking + answer,
        thinking_granted=grant.thinking if thinks else 0,
        answer_granted=grant.answer if thinks else grant.total,
        thinking_ended=str(made.thinking_ended or "") if thinks else "",
        ended=str(made.ended),
        continued=made.continued,
        drawn=made.drawn,
        difficulty=grant.difficulty,
        by=grant.by,
    )


def finished(tokens: TokenText, opening: Opening, grant: Grant, made: Generated) -> WrittenTrace:
    """All that was drawn behind an opening, as a trace."""
    ids = made.ids[:-1] if made.ended is Ended.STOP else made.ids
    new, starts = tokens.laid_out(ids.tolist(), opening.given, opening.text)
    response = read_response(opening.text + new)
    values = _token_bytes(tokens, opening, starts, made)
    return WrittenTrace(response, values, _budget(opening, grant, made), made)


def joined(first: Generated, then: Generated) -> Generated:
    """What was drawn in two goes as if in one."""
    return replace(
        then,
        ids=np.concatenate([first.ids, then.ids]),
        logprobs=np.concatenate([first.logprobs, then.logprobs]),
        entropy=np.concatenate([first.entropy, then.entropy]),
        forced=np.concatenate([first.forced, then.forced]),
        seed=first.seed,
        thinking_tokens=first.thinking_tokens + then.thinking_tokens,
        answer_tokens=first.answer_tokens + then.answer_tokens,
        continued=first.continued + then.continued,
        drawn=first.drawn + then.drawn,
        thinking_ended=then.thinking_ended
        if first.thinking_ended in (None, ThinkingEnded.OPEN)
        else first.thinking_ended,
    )


def _token_bytes(tokens: TokenText, opening: Opening, starts: list[int], made: Generated) -> TokenBytes:
    """Values of the drawn tokens, behind those of the given ones, which have none."""
    given: list[int] = []
    if opening.given:
        base = len(opening.text) - len(tokens.of(opening.given))
        text, given = tokens.laid_out(opening.given)
        given = [base + start for start in given] if opening.text.endswith(text) else []
    if not given and starts and not opening.text:
        starts[0] = 0
    before, count = len(given), len(starts)
    unknown = np.full(before, np.nan, np.float32)
    marks = np.arange(before) < opening.marks
    return TokenBytes(
        starts=_packed(np.asarray(given + starts, np.uint32), "<u4"),
        logprobs=_packed(np.concatenate([unknown, made.logprobs[:count]]), "<f4"),
        entropy=_packed(np.concatenate([unknown, made.entropy[:count]]), "<f4"),
        forced=_packed(np.concatenate([marks, made.forced[:count]]), "u1"),
    )


def _packed(values: NDArray[np.generic], dtype: str) -> bytes:
    return np.ascontiguousarray(values.astype(dtype)).tobytes()
