"""What can be asked of the recipe `search`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from trainer.contract.forms import Aggregation, Pick
from trainer.contract.specs.generate import AskedAs, Marked, TellAnswer, TellBudget
from trainer.contract.specs.setting import setting


class Strategy(StrEnum):
    """How answers are looked for."""

    SELF_CONSISTENCY = "self-consistency"
    BEST_OF_N = "best-of-n"
    WEIGHTED = "weighted best-of-n"
    BEAM = "beam"
    LOOKAHEAD = "lookahead"
    DVTS = "DVTS"
    MCTS = "MCTS"

    @property
    def needs_prm(self) -> bool:
        """Whether scores of steps lead it."""
        return self is not Strategy.SELF_CONSISTENCY

    @property
    def writes_whole(self) -> bool:
        """Whether it writes whole traces and never looks at a part of one."""
        return self in (Strategy.SELF_CONSISTENCY, Strategy.BEST_OF_N, Strategy.WEIGHTED)

    @property
    def pick(self) -> Pick:
        """Which trace answers, as the strategy was published."""
        return _PICKS[self]


_PICKS = {
    Strategy.SELF_CONSISTENCY: Pick.MAJORITY,
    Strategy.BEST_OF_N: Pick.BEST,
    Strategy.WEIGHTED: Pick.WEIGHTED,
    Strategy.BEAM: Pick.BEST,
    Strategy.LOOKAHEAD: Pick.BEST,
    Strategy.DVTS: Pick.WEIGHTED,
    Strategy.MCTS: Pick.BEST,
}


class Picking(StrEnum):
    """Which finished trace answers."""

    AS_PUBLISHED = "as the strategy does"
    MAJORITY = Pick.MAJORITY.value
    WEIGHTED = Pick.WEIGHTED.value
    BEST = Pick.BEST.value
    BEST_OF_MAJORITY = Pick.BEST_OF_MAJORITY.value

    def of(self, strategy: Strategy) -> Pick:
        """The pick in force."""
        return strategy.pick if self is Picking.AS_PUBLISHED else Pick(self.value)


class Equality(StrEnum):
    """Which answers are equal; see `trainer.reasoning.grader`."""

    STRICT = "strict"
    LENIENT = "lenient"


class Compute(StrEnum):
    """How much is tried: by the settings themselves, or by a preset of the strategy."""

    BY_HAND = "by hand"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset sets; `lookahead` None leaves the setting."""

    n: int
    width: int
    lookahead: int | None = None


_PRESETS = {
    (Strategy.LOOKAHEAD, Compute.LOW): Preset(4, 2, 1),
    (Strategy.LOOKAHEAD, Compute.HIGH): Preset(16, 4, 2),
    (Strategy.DVTS, Compute.LOW): Preset(8, 4),
    (Strategy.DVTS, Compute.HIGH): Preset(32, 4),
    (Strategy.MCTS, Compute.LOW): Preset(8, 3),
    (Strategy.MCTS, Compute.HIGH): Preset(32, 4),
}
_ANY = {Compute.LOW: Preset(4, 2), Compute.HIGH: Preset(32, 4)}


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """Search for a problem's answer: a policy tries steps or whole traces, a PRM scores them, the best are kept."""

    model: str = setting("", "The policy: a model made by sft or rl, or a folder with a causal LM", group="Models")
    prm: str = setting("", "The PRM that scores steps; self-consistency needs none", group="Models")
    strategy: Strategy = setting(
        Strategy.BEST_OF_N,
        "Whole traces and a vote (self-consistency, best-of-n), or steps that are scored as they come",
        group="Search",
    )
    compute: Compute = setting(Compute.BY_HAND, "Low and high set traces, width and lookahead", group="Search")
    n: int = setting(8, "Traces; candidates of a round in beam and DVTS; simulations in MCTS", low=1, high=4096,
                     group="Search")  # fmt: skip
    width: int = setting(4, "Next steps tried from each prefix", low=1, high=256, group="Search")
    depth: int = setting(
        40, "Most steps that are chosen one by one; the rest of the trace is then written at once", low=1, high=10_000,
        group="Search", advanced=True,
    )  # fmt: skip
    lookahead: int = setting(2, "Greedy steps ahead at whose end a prefix is judged", low=1, high=64, group="Search")
    aggregation: Aggregation = setting(Aggregation.MIN, "What the scores of the steps say of the trace", group="Search")
    pick: Picking = setting(Picking.AS_PUBLISHED, "Which finished trace answers", group="Search", advanced=True)
    exploration: float = setting(
        1.25, "How much MCTS is drawn to what it has seldom tried", low=0.0, high=100.0, group="Search", advanced=True
    )
    side_by_side: int = setting(
        4, "Simulations of MCTS that walk at once", low=1, high=256, group="Search", advanced=True
    )
    max_thinking_tokens: int = setting(
        512, "Most tokens of thinking in a trace; the decoder closes it there", low=0, high=131072, group="Budget",
        unit="tokens",
    )  # fmt: skip
    max_answer_tokens: int = setting(
        256, "Most tokens of answer in a trace", low=1, high=131072, group="Budget", unit="tokens"
    )
    difficulty: float = setting(
        -1.0, "0 to 1 allocates the two budgets' sum: 0.3 + 0.6 x difficulty of it for thinking; -1 = by hand",
        low=-1.0, high=1.0, group="Budget",
    )  # fmt: skip
    tell_budget: TellBudget = setting(
        TellBudget.TAUGHT, "Whether the prompt states the budgets", group="Budget", advanced=True
    )
    tell_answer: TellAnswer = setting(
        TellAnswer.STRANGERS,
        "Who is told to end with 'The answer is'; a policy that was taught nothing often gives no answer to vote with",
        group="Budget",
        advanced=True,
    )
    thinking: Marked = setting(
        Marked.TAUGHT,
        "How thinking begins: by the policy, whose text is an answer alone where it marks none; or <think> is written "
        "for it",
        group="Budget",
        advanced=True,
    )
    max_tokens: int = setting(
        0, "Most tokens drawn for one problem, kept or not; 0 = no limit", low=0, high=1_000_000_000, group="Budget",
        unit="tokens",
    )  # fmt: skip
    temperature: float = setting(0.8, "Temperature of the policy", low=0.0, high=5.0, group="Sampling")
    top_p: float = setting(1.0, "Draw from the most probable tokens of this share", low=0.01, high=1.0,
                           group="Sampling", advanced=True)  # fmt: skip
    prompt: AskedAs = setting(
        AskedAs.TAUGHT,
        "How a problem becomes a prompt; a policy made elsewhere gets its chat template if it has one",
        group="Sampling",
        advanced=True,
    )
    form: Equality = setting(
        Equality.LENIENT,
        "When two answers are equal, in the vote and beside the reference",
        group="Search",
        advanced=True,
    )
    batch_rows: int = setting(64, "Traces written at once", low=1, high=4096, group="Device", advanced=True)
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    resident: bool = setting(
        False, "Stay when its rows are answered, and answer requests until none has come", group="Device", advanced=True
    )
    idle_minutes: float = setting(
        10.0, "How long a run that stays waits for a request before it ends", low=0.001, high=1440.0, group="Device",
        advanced=True, unit="min",
    )  # fmt: skip
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")

    def objection(self) -> str:
        """What makes these settings meaningless, with what to do; empty where nothing does."""
        used = self.with_preset()
        tries = used.n if self.strategy.writes_whole else max(used.n, used.width)
        if self.temperature > 0 or tries == 1:
            return ""
        fewer = "n to 1" if self.strategy.writes_whole else "n and width to 1"
        by_hand = "" if self.compute is Compute.BY_HAND else "compute to by hand and "
        return (
            f"at temperature 0 every try is the same: {self.strategy.value} would choose among {tries} copies; "
            f"set temperature above 0 (0.6 to 1 are usual), or {by_hand}{fewer}"
        )

    def with_preset(self) -> Self:
        """With what the preset sets in place of the settings."""
        if self.compute is Compute.BY_HAND:
            return self
        preset = _PRESETS.get((self.strategy, self.compute), _ANY[self.compute])
        return replace(self, n=preset.n, width=preset.width, lookahead=preset.lookahead or self.lookahead)
