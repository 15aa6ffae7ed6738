"""What the workspace has of a comparison: searches made before, what they say, and problems to compare on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from studio.errors import RunError
from studio.jobs.needs import weights_of
from studio.jobs.shipped import Example
from studio.jobs.values import RunOrder
from studio.store import batches, runs, searches
from studio.store import schema as s
from studio.store.models import StoredModel
from studio.store.schema_reason import search, search_trace
from studio.ui.play.values import Budgets
from studio.workspace import Workspace
from trainer.contract.records import SearchRecord, record_id
from trainer.contract.spec import SearchSpec, build
from trainer.reasoning.cost_accuracy import (
    Attempted,
    Contest,
    CostPoint,
    Models,
    PlannedRun,
    attempted,
    contest,
    plan,
)
from trainer.reasoning.grader import Grader
from trainer.reasoning.votes import equal_by

Found = int | tuple[int, str]
"""A search by its number, or by run and request."""
OF_A_MANNER = ("tell_budget", "tell_answer", "thinking", "prompt", "form")  # older searches do not tell them
HEADS = (
    "who", "how", "n", "right", "low", "high", "lead", "lead low", "lead high", "tokens drawn", "tokens read",
    "tokens of the PRM", "tokens x parameters", "seconds",
)  # fmt: skip
MOST_PROBLEMS = 1000
"""That many are asked for in one statement, and compared at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared, on which problems; `n` traces of the small one."""

    small: StoredModel
    prm: StoredModel
    large: StoredModel
    problems: tuple[Example, ...]
    budgets: Budgets
    n: int
    temperature: float
    seed: int
    aggregation: str = "last"
    greedy: bool = True

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The searches it needs, those of the small model first."""
        shared: dict[str, str | int | float | bool] = {
            "max_thinking_tokens": self.budgets.thinking, "max_answer_tokens": self.budgets.answer,
            "temperature": self.temperature, "seed": self.seed, "aggregation": self.aggregation,
            "difficulty": -1.0 if self.budgets.difficulty is None else self.budgets.difficulty,
        }  # fmt: skip
        ours, theirs = plan(self.small.uid, self.prm.uid, self.large.uid, self.n, greedy=self.greedy, **shared)
        # one worker answers both where they are one model
        theirs = PlannedRun({**theirs.models, "prm": self.prm.uid}, theirs.settings)
        small, large = {"model": self.small, "prm": self.prm}, {"model": self.large}
        return (
            *(Ask(each, ours, small) for each in self.problems),
            *(Ask(each, theirs, large) for each in self.problems),
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """One search that is needed, and the models whose weights decide what comes of it."""

    example: Example
    planned: PlannedRun
    models: Mapping[str, StoredModel]


@dataclass(frozen=True, slots=True)
class Line:
    """One problem as a point has it: whether it is right (None: not known), the answer, and the trace that gave it."""

    example: Example
    right: bool | None
    answer: str | None
    trace: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison with the traces behind it: `traces[i]` and `answers[i]` are those of ask i, by place."""

    wanted: Wanted
    contest: Contest
    traces: tuple[tuple[int | None, ...], ...]
    answers: tuple[tuple[str | None, ...], ...]

    @property
    def points(self) -> tuple[CostPoint, ...]:
        """All points: best-of-n, majority, and the larger model's."""
        return (*self.contest.small, *self.contest.majority, self.contest.large)

    def lines(self, point: CostPoint) -> tuple[Line, ...]:
        """The problems behind a point, the wrong ones first."""
        first = len(self.wanted.problems) if point is self.contest.large else 0
        out = []
        for each in point.chosen:
            number = int(each.row)
            at, place = first + number, each.place or 0  # where no trace has an answer the first is shown
            trace = self.traces[at][place] if self.traces[at] else None
            answer = None if each.place is None else self.answers[at][place]
            out.append(Line(self.wanted.problems[number], each.right, answer, trace))
        return tuple(sorted(out, key=lambda line: {False: 0, None: 1, True: 2}[line.right]))


def stored_problems(c: Connection, most: int) -> tuple[Example, ...]:
    """Problems of the workspace that have a reference answer; which ones follows from their texts."""
    p = s.problem.c
    query = select(p.prompt, func.min(p.reference_answer)).where(func.trim(p.reference_answer) != "")
    found = c.execute(query.group_by(p.prompt).order_by(func.min(p.fold)).limit(most))
    return tuple(Example(prompt, reference) for prompt, reference in found if prompt.strip())


def made_before(c: Connection, asks: Sequence[Ask]) -> dict[int, int]:
    """Searches that the workspace has already, by the place of the ask: equal seeds give equal trees."""
    by_prompt: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        by_prompt.setdefault(ask.example.problem, []).append(place)
    planned = {id(ask.planned): ask.planned for ask in asks}
    specs = {key: build("search", each.settings) for key, each in planned.items()}
    found: dict[int, int] = {}
    for row in c.execute(_made(list(by_prompt))):
        for place in by_prompt[row.prompt]:
            ask, spec = asks[place], specs[id(asks[place].planned)]
            assert isinstance(spec, SearchSpec)
            if row.reference_answer == ask.example.reference and _is_of(row, ask, spec):
                found[place] = row.id
    return found


def compare(c: Connection, workspace: Workspace, wanted: Wanted, found: Mapping[int, Found]) -> Compared:
    """Read all searches of a comparison, by id or by run and request.

    Raises RunError where one is gone, ValueError as `contest` does.
    """
    ids = _ids(c, found)
    half = len(wanted.problems)
    with Grader(1) as grader:
        read = [_attempt(c, ids[place], str(place % half), grader) for place in range(2 * half)]
    small = Models(wanted.small.name, _weights(workspace, wanted.small), _weights(workspace, wanted.prm))
    large = Models(wanted.large.name, _weights(workspace, wanted.large))
    tried = [each for each, _, _ in read]
    made = contest(tried[:half], small, tried[half:], large)
    return Compared(wanted, made, tuple(traces for _, traces, _ in read), tuple(answers for _, _, answers in read))


def table(made: Compared) -> list[tuple[str, ...]]:
    """What a file says of the points, the heads first."""
    rows: list[tuple[str, ...]] = [HEADS]
    of = made.contest
    leads = (*of.leads, *of.majority_leads, None)
    for point, lead in zip(made.points, leads, strict=True):
        right, how = point.accuracy, "one pass" if lead is None else point.how.value
        ahead = ("", "", "") if lead is None else tuple(f"{each:.4f}" for each in (lead.value, lead.low, lead.high))
        share = tuple(f"{each:.4f}" for each in (right.value, right.low, right.high))
        spent = (point.tokens, point.tokens_read, point.prm_tokens, point.cost)
        told = (*(f"{each:.1f}" for each in spent), f"{point.seconds:.3f}")
        rows.append((point.name, how, str(point.n), *share, *ahead, *told))
    return rows


def _made(prompts: Sequence[str]) -> Any:  # noqa: ANN401 - a statement
    """Searches for these prompts whose traces are all there, the oldest first."""
    t, p = search.c, s.problem.c
    joined = (
        search.join(s.problem, p.id == t.problem_id)
        .join(s.batch, s.batch.c.id == t.batch_id)
        .join(s.run, s.run.c.id == s.batch.c.run_id)
    )
    of = search_trace.c
    here = select(func.count()).where(of.search_id == t.id).scalar_subquery()
    began_elsewhere = (  # at a text that was given, not at the problem
        select(of.trace_id)
        .join(s.trace, s.trace.c.id == of.trace_id)
        .where(of.search_id == t.id, s.trace.c.extra["forked_at"].as_string().is_not(None))
        .exists()
    )
    return (
        select(t.id, t.prompt, t.strategy, t.settings, p.reference_answer, s.run.c.spec)
        .select_from(joined)
        .where(t.prompt.in_(prompts), t.traces == here, ~began_elsewhere, batches.visible(t.batch_id))
        .order_by(t.id)
    )


def _is_of(row: Any, ask: Ask, spec: SearchSpec) -> bool:  # noqa: ANN401 - a row
    """Whether a stored search is what this ask would make."""
    said, checksums = row.settings, {model["role"]: model["checksum"] for model in row.spec["models"]}
    if not all(name in said for name in OF_A_MANNER):
        return False
    if any(checksums.get(role) != model.checksum for role, model in ask.models.items()):
        return False
    expected = {name: getattr(spec, name) for name in said if hasattr(spec, name)}
    expected |= {"pick": spec.pick.of(spec.strategy).value, "run_seed": spec.seed}
    return bool(said == expected)


def _ids(c: Connection, found: Mapping[int, Found]) -> dict[int, int]:
    """The number of each search."""
    uids = {run: runs.get(c, run).uid for run in {each[0] for each in found.values() if isinstance(each, tuple)}}
    records = {place: record_id(uids[each[0]], each[1], 0) for place, each in found.items() if isinstance(each, tuple)}
    named = select(search.c.record, search.c.id).where(search.c.record.in_(list(records.values())))
    known = {row.record: row.id for row in c.execute(named)}
    if missing := [record for record in records.values() if record not in known]:
        raise RunError(f"{len(missing)} searches of the comparison are not in the workspace; compare again")
    return {place: known[records[place]] if isinstance(each, tuple) else each for place, each in found.items()}


def _attempt(
    c: Connection, search_id: int, row: str, grader: Grader
) -> tuple[Attempted, tuple[int | None, ...], tuple[str | None, ...]]:
    tree = searches.read(c, search_id)
    found, t = tree.search, s.trace.c
    ids = [each for each in tree.trace_ids if each is not None]
    known = {each.id: each for each in c.execute(select(t.id, t.outcome, t.answer).where(t.id.in_(ids)))}
    rows = [known.get(each or 0) for each in tree.trace_ids]
    made = SearchRecord(
        id=found.record, row=row, problem=found.prompt, reference=None, strategy=found.strategy,
        settings=found.settings, nodes=tree.nodes, traces=tuple(str(each) for each in tree.trace_ids),
        votes=tree.votes, chosen=found.chosen, answer=found.answer, spent=found.spent, model=found.model,
    )  # fmt: skip
    outcomes = [None if each is None else each.outcome for each in rows]
    answers = tuple(None if each is None else each.answer for each in rows)
    return attempted(made, outcomes, answers, equal_by(grader)), tree.trace_ids, answers


def _weights(workspace: Workspace, model: StoredModel) -> int:
    found = weights_of(workspace, RunOrder("search", parameters={"model": model.uid}))
    if not found:
        raise RunError(f"nobody can say how many weights {model.name} has: there is no safetensors file in its folder")
    return found
