"""Two traces side by side, and two groups of traces on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sqlalchemy import ColumnElement, Connection, select

from studio.domain import StepScores, Trace
from studio.errors import NotFoundError
from studio.store import batches, scores, traces
from studio.store.schema import batch, log, problem, trace
from trainer.reasoning.alignment import Change, Edit, Pair, align, edits
from trainer.reasoning.metrics import Interval, bootstrap
from trainer.reasoning.paired import Paired, gain, paired


@dataclass(frozen=True, slots=True)
class Scored:
    """One scorer's values on both sides; None where it gave none."""

    scorer: str
    version: str
    left: tuple[float | None, ...]
    right: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TraceDiff:
    """Steps aligned, scores of scorers that have both, and the first pair that is not the same.

    `diverges` is a place in `pairs`, None when all words are the same.
    """

    left: Trace
    right: Trace
    pairs: tuple[Pair, ...]
    scored: tuple[Scored, ...]
    diverges: int | None

    @property
    def same_problem(self) -> bool:
        """Whether both answer the same problem."""
        return self.left.problem.id == self.right.problem.id

    def text(self, pair: Pair) -> tuple[str, str]:
        """The steps of a pair; "" for the side that has none."""
        left = "" if pair.left is None else self.left.step_text(pair.left)
        right = "" if pair.right is None else self.right.step_text(pair.right)
        return left, right

    def edits(self, pair: Pair) -> tuple[Edit, ...]:
        """What changed within a pair, by words."""
        return edits(*self.text(pair))


def compare(c: Connection, left_id: int, right_id: int) -> TraceDiff:
    """Align two traces. Raises NotFoundError."""
    left, right = traces.load(c, left_id), traces.load(c, right_id)
    pairs = align(_steps(left), _steps(right))
    diverges = next((at for at, pair in enumerate(pairs) if pair.change is not Change.SAME), None)
    return TraceDiff(left, right, pairs, _scored(c, left, right), diverges)


def beside(c: Connection, trace_id: int, *, limit: int = 200) -> tuple[int, ...]:
    """Other traces of the same problem, by id."""
    own = select(trace.c.problem_id).where(trace.c.id == trace_id).scalar_subquery()
    same = select(trace.c.id).where(
        trace.c.problem_id == own, trace.c.id != trace_id, batches.visible(trace.c.batch_id)
    )
    return tuple(c.scalars(same.order_by(trace.c.id).limit(limit)))


def _steps(one: Trace) -> list[str]:
    return [one.step_text(at) for at in range(len(one.segmentation.steps))]


def _scored(c: Connection, left: Trace, right: Trace) -> tuple[Scored, ...]:
    one, other = _newest(c, left), _newest(c, right)
    return tuple(
        Scored(name, version, one[name, version].values, other[name, version].values)
        for name, version in one
        if (name, version) in other
    )


def _newest(c: Connection, of: Trace) -> dict[tuple[str, str], StepScores]:
    given = scores.of_trace(c, of.id)
    return {(s.scorer, s.version): s for s in given if s.segmentation_id == of.segmentation.id}


@dataclass(frozen=True, slots=True)
class Group:
    """Traces by who or what made them: of a model, a log file, or a run. "" asks for nothing."""

    model: str = ""
    log: str = ""
    run: int | None = None

    @property
    def name(self) -> str:
        """What it is called on screen."""
        said = [self.model, self.log, "" if self.run is None else f"run {self.run}"]
        return " · ".join(part for part in said if part) or "all traces"


@dataclass(frozen=True, slots=True)
class GroupDiff:
    """Two groups on the problems that both tried with a known outcome.

    `paired` holds when each tried each problem once. `difference` is the mean outcome of the right group minus that of
    the left, problems drawn with replacement. `changed` are problems with other mean outcomes: (problem, left, right).
    """

    left: Group
    right: Group
    problems: int
    left_mean: float
    right_mean: float
    difference: Interval
    paired: Paired | None
    changed: tuple[tuple[int, float, float], ...]


def compare_groups(c: Connection, left: Group, right: Group) -> GroupDiff:
    """Outcomes of the same problems. Raises NotFoundError when the groups have no problem in common."""
    one, other = _outcomes(c, left), _outcomes(c, right)
    shared = sorted(set(one) & set(other))
    if not shared:
        raise NotFoundError(
            f"{left.name} and {right.name} have no problem in common with a known outcome on both sides "
            f"({len(one)} and {len(other)} problems with one)"
        )
    a, b = [fmean(one[key]) for key in shared], [fmean(other[key]) for key in shared]
    once = all(len(one[key]) == 1 == len(other[key]) for key in shared)
    changed = tuple((key, x, y) for key, x, y in zip(shared, a, b, strict=True) if x != y)
    return GroupDiff(
        left,
        right,
        len(shared),
        fmean(a),
        fmean(b),
        bootstrap(shared, gain(a, b)),
        paired([bool(x) for x in a], [bool(x) for x in b]) if once else None,
        changed,
    )


def _outcomes(c: Connection, group: Group) -> dict[int, list[int]]:
    """Outcomes by problem."""
    wanted = select(trace.c.problem_id, trace.c.outcome).where(trace.c.outcome.is_not(None), *_of(group))
    found: dict[int, list[int]] = {}
    for problem_id, outcome in c.execute(wanted.order_by(trace.c.id)):
        found.setdefault(problem_id, []).append(outcome)
    return found


def _of(group: Group) -> Sequence[ColumnElement[bool]]:
    asked = [batches.visible(trace.c.batch_id)]
    if group.model:
        asked.append(trace.c.model == group.model)
    if group.log:
        asked.append(trace.c.log_id.in_(select(log.c.id).where(log.c.path == group.log)))
    if group.run is not None:
        asked.append(trace.c.batch_id.in_(select(batch.c.id).where(batch.c.run_id == group.run)))
    return asked


def prompts(c: Connection, problem_ids: Sequence[int]) -> dict[int, str]:
    """What these problems ask."""
    found = c.execute(select(problem.c.id, problem.c.prompt).where(problem.c.id.in_(problem_ids)))
    return {row.id: row.prompt for row in found}
