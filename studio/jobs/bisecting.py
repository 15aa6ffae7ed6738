"""A thought bisected: which prefixes a policy continues, what that costs, what came of it, and its machine label.

A driver asks for `request`, hands what came of it to `take`, and goes on until `found`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from studio.domain import Changes, Topic, changed, new_uid
from studio.errors import RunError
from studio.jobs import estimate, prepare
from studio.jobs.continuing import Continuation, Start, asked
from studio.jobs.values import RunOrder
from studio.store import batches, machine_labels
from studio.store.models import StoredModel
from studio.store.rows import Counts
from studio.workspace import Workspace
from trainer.contract.generated import Settings
from trainer.contract.records import MachineLabelRecord
from trainer.contract.requests import GenerateRequest
from trainer.reasoning.bisect_thought import Bisection, Found, Probe, Sought, Where, most_probes

METHOD = "bisected thought"
"""The machine label's method; other than the labels of `autolabel`, so that nobody learns from shares at few steps."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a bisection takes at most, and about: tokens drawn and continuations."""

    prefixes: int
    continuations: int
    about: int
    most: int

    @property
    def words(self) -> str:
        """For a person, before Start."""
        return (
            f"At most {self.prefixes} prefixes, {self.continuations:,} continuations: about {self.about:,} tokens if "
            f"they are as long as the rest of this trace, never more than {self.most:,}."
        )


@dataclass(slots=True, eq=False)
class Bisecting:
    """One bisection of a trace by a policy, `number` continuations behind each prefix."""

    start: Start
    model: StoredModel
    number: int
    thinking: int
    answer_tokens: int
    search: Bisection = field(init=False)
    traces: dict[int, tuple[Continuation, ...]] = field(default_factory=dict)  # by steps of the prefix
    tokens: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.search = Bisection(len(self.start.steps), sought_in(self.start))

    @property
    def by_reference(self) -> bool:
        """Whether the reference answer says what is right; else the trace's own answer does."""
        return self.start.reference is not None

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
        """How many steps the next prefix has."""
        return self.search.wanted

    def request(self) -> GenerateRequest:
        """For the wanted prefix."""
        count = self.search.wanted
        assert count is not None, "it is found"
        return asked(self.start, self.start.prefix(count), self.settings)

    def take(self, found: Sequence[Continuation], seconds: float) -> Probe:
        """Count what came. Raises RunError when nothing of it could be graded."""
        count = self.search.wanted
        assert count is not None, "it is found"
        decided = [one.right for one in found if one.right is not None]
        if not decided:
            raise RunError(
                f"none of the {len(found)} continuations behind step {count} could be graded; is the reference answer "
                f"{self.start.reference!r} one that can be compared?"
            )
        self.traces[count] = tuple(found)
        self.tokens += sum(one.tokens for one in found)
        self.seconds += seconds
        return self.search.take(sum(decided), len(decided), len(found) - len(decided))

    @property
    def words(self) -> str:
        """What was found, for a person."""
        found = self.search.found
        if found is None:
            return ""
        return f"{_place(self, found)} {_doubt(found, len(self.start.steps))}".strip()

    @property
    def spent(self) -> str:
        """What it took so far."""
        done = len(self.search.probes)
        most = most_probes(len(self.start.steps))
        return f"{done} of at most {most} prefixes, {self.tokens:,} tokens, {self.seconds:.1f} s"

    @property
    def step(self) -> int | None:
        """The step that was found, from 0."""
        found = self.search.found
        return None if found is None or found.step is None else found.step - 1


def sought_in(start: Start) -> Sought:
    """A wrong trace lost something; in another its answer was settled at some step. Raises RunError."""
    if start.reference is None and start.answer is None:
        raise RunError(
            "the problem has no reference answer and the trace no answer of its own, so nothing says what a "
            "continuation must come to; give the problem a reference answer (import it with one)"
        )
    return Sought.LOST if start.reference is not None and start.outcome != 1 else Sought.SETTLED


def what_for(start: Start) -> str:
    """What a bisection of this trace looks for, and by what, in one or two sentences. Raises RunError."""
    if sought_in(start) is Sought.LOST:
        return (
            f"Looks for the step after which continuations no longer come to the reference answer {start.reference}: "
            "where their share falls below half of what it is before the first step."
        )
    if start.reference is not None:
        return "This trace is right. Looks for the step from which most continuations come to the right answer."
    return (
        "The problem has no reference answer, so nothing says what is right. Looks for the step from which most "
        f"continuations agree with the trace's own answer {start.answer}; import the problem with its reference answer "
        "to look for a mistake."
    )


def cost_of(start: Start, number: int, thinking: int, answer_tokens: int) -> Cost:
    """What it takes: the mean of what is left behind each prefix, and the budgets."""
    prefixes = most_probes(len(start.steps))
    mean = sum(start.left) / len(start.left)
    each = min(float(thinking + answer_tokens), mean)
    return Cost(
        prefixes, prefixes * number, round(prefixes * number * each), prefixes * number * (thinking + answer_tokens)
    )


def time_of(
    workspace: Workspace, model: StoredModel, cost: Cost, settings: Settings, device: str = "cpu"
) -> float | None:
    """Seconds that it takes at the most, loading included, as a run of the same size would; None: nobody can say."""
    order = prepare.checked(RunOrder("generate", {**settings, "model": model.uid}, device=device))
    counts = Counts(
        rows=cost.prefixes,
        problems=1,
        steps=0,
        characters=0,
        longest=0,
        per_split={},
        negative=0,
        neutral=0,
        positive=0,
    )
    return estimate.estimate(workspace, order, counts).seconds


def keep(c: Connection, done: Bisecting) -> Changes:
    """Store what is left of success behind the probed steps as a machine label of the trace, seen at once.

    1 = as much as before the first step, 0 = none; where nothing was lost there is no label, and no change.
    """
    values = left_of(done.search)
    if values is None:
        return Changes()
    record = MachineLabelRecord(
        id=new_uid(),
        row=f"{done.start.uid}:{done.start.version}",
        trace=done.start.uid,
        segmentation=done.start.version,
        method=METHOD,
        version=f"{done.model.name} {done.model.checksum[:12]}, n={done.number}",
        values=values,
    )
    batch = batches.begin(c, "ingest", source=done.start.uid, format=METHOD)
    stored = machine_labels.store_records(c, batch, [record])
    if stored.lost:
        raise RunError("the steps of the trace were cut anew meanwhile, so the shares were not kept; bisect it again")
    batches.publish(c, batch, {"stored": stored.stored})
    return changed(Topic.SCORES, traces=(done.start.trace_id,))


def left_of(search: Bisection) -> tuple[float | None, ...] | None:
    """By step, the share of success behind it over that before the first step, at most 1; None where none was lost.

    A share that agrees with an answer, or that leads to a right one, says nothing of whether a step is right.
    """
    found = search.found
    if search.sought is not Sought.LOST or found is None or found.where is Where.BEFORE:
        return None
    values: list[float | None] = [None] * search.steps
    begun = search.probes[0].share.value
    for probe in search.probes[1:]:
        values[probe.count - 1] = min(1.0, probe.share.value / begun)
    return tuple(values)


def _place(done: Bisecting, found: Found) -> str:
    search, steps = done.search, len(done.start.steps)
    shares = {probe.count: probe.share for probe in search.probes}
    if search.sought is Sought.LOST:
        if found.where is Where.BEFORE:
            return (
                f"Nowhere in this trace: already before step 1 none of {shares[0].number} continuations is right (with "
                f"95 % confidence at most {shares[0].high:.0%} would be). The policy cannot do this problem."
            )
        if found.where is Where.AFTER:
            return f"In no step: behind all {steps} of them the right answer is still in reach; the last text lost it."
        verb = "Success is lost in"
    else:
        if found.where is Where.BEFORE:
            return "It was never open: before step 1 most continuations come to this answer."
        if found.where is Where.AFTER:
            return f"In no step: behind all {steps} of them it is still open; the last text settled it."
        verb = "The answer is settled in"
    assert found.step is not None
    before, behind = shares[found.step - 1], shares[found.step]
    return f"{verb} step {found.step}: {before.value:.0%} before it, {behind.value:.0%} behind it."


def _doubt(found: Found, steps: int) -> str:
    if found.is_sure:
        return "" if found.where is Where.BEFORE else "The 95 % intervals leave no other place."
    first = "before the first step" if found.first == 0 else f"step {found.first}"
    last = "after the last step" if found.last > steps else f"step {found.last}"
    return f"By the 95 % intervals it may lie anywhere from {first} to {last}; more continuations narrow that."
