"""What stands beside a text that a run wrote: values of its tokens, its budget, its cost; and what a search tried."""

from __future__ import annotations

import msgspec

from trainer.contract.specs.setting import Value


class TokenBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Values of the tokens of a trace's text, packed little-endian, n each.

    `starts` uint32 code points of the text, ascending; `logprobs` and `entropy` float32 in nats; `forced` uint8, 1
    where the budget wrote the token.
    """

    starts: bytes
    logprobs: bytes = b""
    entropy: bytes = b""
    forced: bytes = b""


class TraceBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that were asked for, granted and used, thinking and answer apart; None = no limit.

    `thinking_ended` and `ended` are words of `trainer.models.sampling` (ThinkingEnded, Ended); `difficulty` in [0, 1]
    is what the total was allocated by, None when it was set by hand; `by` says who judged it. `drawn` counts all tokens
    of this trace: marks, and what was taken back, too.
    """

    thinking: int
    answer: int
    used: int
    thinking_granted: int | None = None
    answer_granted: int | None = None
    thinking_ended: str = ""
    ended: str = ""
    continued: int = 0
    difficulty: float | None = None
    by: str = ""
    drawn: int | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer cost: tokens drawn (kept or not) and read by the policy, prefixes the PRM scored and their tokens.

    `cost` is in the currency of the cost table, 0 where nothing is paid; `cached` when no model was asked.
    """

    tokens: int = 0
    tokens_read: int = 0
    prm_calls: int = 0
    prm_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    cached: bool = False

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            tokens=self.tokens + other.tokens,
            tokens_read=self.tokens_read + other.tokens_read,
            prm_calls=self.prm_calls + other.prm_calls,
            prm_tokens=self.prm_tokens + other.prm_tokens,
            seconds=self.seconds + other.seconds,
            cost=self.cost + other.cost,
            cached=self.cached and other.cached,
        )


class SearchNode(msgspec.Struct, frozen=True, array_like=True):
    """A step that a search tried. Node 0 is the problem; `parent` points to an earlier node, -1 for node 0.

    `score` is the PRM's P(correct) of this step, `value` what the search thinks of the prefix (aggregate, or mean of
    visits in MCTS), None while unknown; `tokens` were drawn for this node alone; `round` is when it was tried;
    `kept` = the search went on from it or returned it; `trace` is the place of the trace that ends here, -1 for none.
    """

    parent: int
    text: str
    score: float | None = None
    value: float | None = None
    visits: int = 1
    tokens: int = 0
    round: int = 0
    kept: bool = False
    trace: int = -1


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """One group of equal answers: how it is written, how many traces gave it, and their weight in the vote."""

    answer: str
    count: int
    weight: float


class RouteStep(msgspec.Struct, frozen=True, kw_only=True):
    """One model, or the cache, that a route asked: its answer, how sure it seemed, what it cost, why it was asked.

    `tier` is "fast" or "reasoning"; `confidence` P(right), made of `signals`; `outcome` grades the answer, None without
    a reference; `problem` says what went wrong, "" when nothing did; `saved` is what a cached answer had cost.
    """

    tier: str
    model: str
    answer: str | None
    confidence: float | None
    spent: Spent
    why: str
    trace: str = ""
    problem: str = ""
    outcome: int | None = None
    signals: dict[str, float] = {}
    saved: Spent | None = None

    @property
    def worth(self) -> Spent:
        """What this answer costs where no cache has it."""
        return self.saved if self.saved is not None and self.spent.cached else self.spent


Settings = dict[str, Value]
