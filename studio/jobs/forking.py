"""A thought forked: a policy continues a trace behind one of its steps as it was, and as a person would have it.

A driver asks for `request`, hands what came of it to `take`, and goes on until there is no branch left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.errors import RunError
from studio.jobs.continuing import Continuation, Start, asked
from studio.store.models import StoredModel
from trainer.contract.generated import Settings
from trainer.contract.requests import GenerateRequest
from trainer.reasoning.detection import Share, wilson
from trainer.reasoning.forks import Difference, difference

NAMES = ("as it was", "as edited")


@dataclass(slots=True, eq=False)
class Forking:
    """`edited` replaces the step (from 0); empty leaves it out, and its own words make one branch alone.

    All continuations of a branch have the seeds of those of the other.
    """

    start: Start
    model: StoredModel
    step: int
    edited: str
    number: int
    thinking: int
    answer_tokens: int
    branches: list[tuple[Continuation, ...]] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.step < len(self.start.steps):
            raise RunError(f"the trace has {len(self.start.steps)} steps; there is no step {self.step + 1}")

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The text that each branch goes on from."""
        text, span, cut = self.start.text, self.start.steps[self.step], self.start.cuts[self.step + 1]
        own = text[:cut]
        words = self.edited.strip()
        edited = text[: span.start] + (words + text[span.end : cut] if words else "")
        return (own,) if edited == own else (own, edited)

    @property
    def settings(self) -> Settings:
        """Of every request."""
        return {
            "n": self.number,
            "max_thinking_tokens": self.thinking,
            "max_answer_tokens": self.answer_tokens,
            "temperature": self.start.temperature,
            "top_p": self.start.top_p,
        }

    @property
    def wanted(self) -> int | None:
        """The branch to continue next."""
        return len(self.branches) if len(self.branches) < len(self.prefixes) else None

    def request(self) -> GenerateRequest:
        """For the wanted branch."""
        assert self.wanted is not None, "all branches have been continued"
        return asked(self.start, self.prefixes[self.wanted], self.settings)

    def take(self, found: Sequence[Continuation], seconds: float) -> None:
        """What came of the wanted branch."""
        self.branches.append(tuple(found))
        self.tokens += sum(one.tokens for one in found)
        self.seconds += seconds

    def share(self, branch: int) -> Share | None:
        """Right ones among those that could be graded; None where there are none."""
        decided = [one.right for one in self.branches[branch] if one.right is not None]
        return wilson(sum(decided), len(decided)) if decided else None

    @property
    def gain(self) -> Difference | None:
        """Of the edit; None where there is one branch, or one without a grade."""
        if len(self.branches) < 2:
            return None
        first, second = self.share(0), self.share(1)
        return None if first is None or second is None else difference(first, second)

    def answers(self, branch: int) -> str:
        """How often each answer came, the most frequent first."""
        counts = Counter(one.answer if one.answer is not None else "none" for one in self.branches[branch])
        return ", ".join(f"{answer} × {count}" for answer, count in counts.most_common())

    @property
    def words(self) -> str:
        """What the edit changed, for a person."""
        if self.wanted is not None:
            return ""
        gain = self.gain
        if len(self.branches) == 1:
            return f"The words are as they were: one branch. Answers: {self.answers(0)}."
        if gain is None:
            return f"Nothing says which answer is right. As it was: {self.answers(0)}. As edited: {self.answers(1)}."
        sure = "" if gain.is_sure else " This may be chance; more continuations tell."
        return (
            f"The edit changes the share of right answers by {100 * gain.value:+.0f} points (95 % interval "
            f"{100 * gain.low:+.0f} to {100 * gain.high:+.0f}).{sure}"
        )
