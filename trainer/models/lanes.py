"""One trace while it is written: its tokens, its stop marks, and the thinking budget that it obeys."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.models.prefixes import Prefix
from trainer.models.sampling import BudgetRule, Ended, Generated, Sampling, ThinkingEnded


class Pieces:
    """Text of tokens, each decoded once; finds a mark that may be spread over several tokens."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - any HF tokenizer
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a mark, without special tokens around it."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        """Text of some tokens, special ones shown."""
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def completes(self, ids: list[int], mark: str) -> int:
        """How many of the last tokens hold `mark` that the very last completes; 0 when it does not."""
        piece = self._known.get(ids[-1])
        if piece is None:
            piece = self._known[ids[-1]] = self.decode(ids[-1:])
        if mark[-1] != " " and mark[-1] not in piece and "\ufffd" not in piece:
            return 0
        longest = min(len(ids), 4 * len(mark) + 1)  # a token holds at least one byte
        if self.decode(ids[-longest:]).count(mark) <= self.decode(ids[-longest:-1]).count(mark):
            return 0
        return next(n for n in range(1, longest + 1) if mark in self.decode(ids[-n:]))


@dataclass(frozen=True, slots=True)
class Marks:
    """A budget rule with its texts as tokens."""

    rule: BudgetRule
    forced: tuple[int, ...]
    wait: tuple[int, ...]

    @classmethod
    def of(cls, rule: BudgetRule, pieces: Pieces) -> Marks:
        """Raises ValueError when a text of the rule has no tokens or its forced text does not close."""
        forced, wait = pieces.encode(rule.forced), pieces.encode(rule.wait)
        if not rule.close or rule.close not in pieces.decode(list(forced)):
            raise ValueError(f"the forced text {rule.forced!r} must contain the close mark {rule.close!r}")
        if rule.continuations and not wait:
            raise ValueError("continuations need a wait text that has tokens")
        return cls(rule, forced, wait)


class Lane:
    """The state of one trace between two draws."""

    def __init__(
        self,
        prompt: int,
        trace: int,
        seed: int,
        sampling: Sampling,
        stops: frozenset[int],
        limit: int,
        pieces: Pieces | None,
    ) -> None:
        """`limit` is how many tokens fit before the model's context ends."""
        self.prompt, self.trace, self.seed = prompt, trace, seed
        self.ids: list[int] = []
        self.dropped = 0  # tokens taken back by the last `take`
        self._drawn = 0
        self.ended: Ended | None = None
        self._logprobs: list[float] = []
        self._entropy: list[float] = []
        self._forced: list[bool] = []
        self._sampling, self._stops, self._limit, self._pieces = sampling, stops, limit, pieces
        self._texts = sampling.stop_texts
        self._queue: deque[int] = deque()
        self._before: list[int] = []  # the end of a prompt that goes on
        self._marks: Marks | None = None
        self._thinking = self._answer = self._continued = 0
        self._how: ThinkingEnded | None = None

    def obey(self, marks: Marks, prompt: Sequence[int] = ()) -> None:
        """Put the lane under a budget before its first token; a prompt that goes on may have begun the mark."""
        self._marks, rule = marks, marks.rule
        if rule.thinking_used:
            self._before = list(prompt[-64:])
        if rule.thinking_over:
            self._how = ThinkingEnded.FORCED if rule.owed else ThinkingEnded.BEFORE  # what is owed is the mark's
        self._queue.extend(rule.owed)
        self._close_at_cap()

    @property
    def must(self) -> int | None:
        """The token that the budget writes next, if it does."""
        return self._queue[0] if self._queue else None

    @property
    def leaning(self) -> tuple[int, float] | None:
        """Token and bias in the grace window before the cap."""
        if self._marks is None or self._how is not None or self._queue or self._marks.rule.thinking is None:
            return None
        rule = self._marks.rule
        window = max(1, round(rule.grace * rule.thinking))  # type: ignore[operator]
        left = rule.thinking - rule.thinking_used - self._thinking  # type: ignore[operator]
        if rule.grace <= 0 or left > window:
            return None
        return self._marks.forced[self._begun()], rule.bias * (window - left + 1) / window

    def take(self, token: int, logprob: float, entropy: float) -> None:
        """The next token: count it, see whether it closes the thinking, ends the trace, or must be taken back."""
        self.dropped, self._drawn = 0, self._drawn + 1
        forced = bool(self._queue)
        if forced:
            self._queue.popleft()
        self.ids.append(token)
        self._logprobs.append(logprob)
        self._entropy.append(entropy)
        self._forced.append(forced)
        if token in self._stops and not forced:
            if not self._closed_by_stop():
                self._count(forced)
                self.ended = Ended.STOP
            return
        self._count(forced)
        if self.ended is None and self._texts and self._completes(self.ids, *self._texts):
            self.ended = Ended.TEXT
        if self.ended is None and len(self.ids) >= self._sampling.max_new_tokens:
            self.ended = Ended.LENGTH
        if self.ended is None and len(self.ids) >= self._limit:
            self.ended = Ended.CONTEXT

    def _completes(self, ids: list[int], *marks: str) -> int:
        assert self._pieces is not None
        return max(self._pieces.completes(ids, mark) for mark in marks)

    def _count(self, forced: bool) -> None:
        """Book the newest token as thinking, mark or answer."""
        if self._marks is None:
            return
        rule = self._marks.rule
        if self._how is not None and forced:
            return  # the mark itself
        if self._how is not None:
            self._answer += 1
            if rule.answer is not None and rule.answer_used + self._answer >= rule.answer:
                self.ended = Ended.BUDGET
            return
        self._thinking += 1
        held = 0 if forced else self._completes(self._before + self.ids[-64:], rule.close)
        if held:
            self._closed(held)
        else:
            self._close_at_cap()

    def _closed(self, held: int) -> None:
        """The model closed its thinking with the last `held` tokens: let it answer, or let it go on."""
        assert self._marks is not None
        rule, used = self._marks.rule, self._thinking - held
        room = None if rule.thinking is None else rule.thinking - rule.thinking_used - used
        self._thinking = used
        if held <= len(self.ids) and self._may_go_on():
            self._go_on(held)
            return
        window = 0 if rule.thinking is None else max(1, round(rule.grace * rule.thinking))
        nudged = room is not None and rule.grace > 0 and room <= window
        self._how = ThinkingEnded.NUDGED if nudged else ThinkingEnded.CLOSED

    def _may_go_on(self) -> bool:
        assert self._marks is not None
        rule = self._marks.rule
        room = None if rule.thinking is None else rule.thinking - rule.thinking_used - self._thinking
        return self._continued < rule.continuations and (room is None or room > len(self._marks.wait))

    def _go_on(self, held: int) -> None:
        """Take the last `held` tokens back; what makes the model think on is written next."""
        assert self._marks is not None
        self._continued += 1
        self._take_back(held)
        self._queue.extend(self._marks.wait)

    def _take_back(self, held: int) -> None:
        for kept in (self.ids, self._logprobs, self._entropy, self._forced):
            del kept[-held:]
        self.dropped = held

    def _closed_by_stop(self) -> bool:
        """Whether the newest token, an end of text within the thinking, was taken back."""
        if self._marks is None or not self._marks.rule.close_at_stop or self._how is not None:
            return False
        if self._may_go_on():
            self._go_on(1)
            return True
        self._take_back(1)
        begun = self._begun()
        self._thinking -= begun
        self._how = ThinkingEnded.STOPPED
        self._queue.extend(self._marks.forced[begun:])
        return True

    def _close_at_cap(self) -> None:
        """At the cap write what is left of the mark."""
        assert self._marks is not None
        rule = self._marks.rule
        if self._how is not None or rule.thinking is None or rule.thinking_used + self._thinking < rule.thinking:
            return
        begun = self._begun()
        self._thinking -= begun
        self._how = ThinkingEnded.NUDGED if begun else ThinkingEnded.FORCED  # what the model began is its own word
        self._queue.clear()
        self._queue.extend(self._marks.forced[begun:])

    def _begun(self) -> int:
        """How many of the forced text's tokens stand at the end already."""
        assert self._marks is not None
        forced, written = self._marks.forced, self._before + self.ids[-64:]
        longest = min(len(forced) - 1, len(written), self._marks.rule.thinking_used + self._thinking)
        return next((n for n in range(longest, 0, -1) if tuple(written[-n:]) == forced[:n]), 0)

    def result(self, prefix: Prefix | None) -> Generated:
        """What the lane has written."""
        assert self.ended is not None
        thinking_ended = None
        if self._marks is not None:
            thinking_ended = self._how or ThinkingEnded.OPEN
        return Generated(
            np.asarray(self.ids, np.int64),
            np.asarray(self._logprobs, np.float32),
            np.asarray(self._entropy, np.float32),
            np.asarray(self._forced, np.bool_),
            self.ended,
            self.seed,
            self._thinking,
            self._answer,
            self._continued,
            thinking_ended,
            prefix,
            tuple(self._queue),
            self._drawn,
        )


def rule_after(rule: BudgetRule, made: Generated) -> BudgetRule:
    """The rule as it stands behind a trace that goes on from here."""
    over = made.thinking_ended not in (None, ThinkingEnded.OPEN)
    return replace(
        rule,
        thinking_over=over,
        thinking_used=rule.thinking_used + made.thinking_tokens,
        answer_used=rule.answer_used + made.answer_tokens,
        owed=made.owed,
        continuations=max(0, rule.continuations - made.continued),
    )
