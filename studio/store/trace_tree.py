"""What was tried for one problem, as a tree: all its traces and the candidates beside their steps, or one search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from studio.domain import Trace
from studio.store import batches, scores, searches, traces
from studio.store.schema import candidate, trace
from studio.store.searches import SearchTree, StoredSearch
from trainer.contract.generated import SearchNode
from trainer.reasoning.prefix_tree import Path, PrefixTree, grow
from trainer.reasoning.search_tree import lay_out

MOST_TRACES = 5_000
_CHUNK = 500  # ids in one IN (...)


@dataclass(frozen=True, slots=True)
class Branch:
    """A path of the tree: a trace, or a candidate's prefix of one (`candidate` its place among the completions)."""

    trace_id: int
    model: str
    outcome: int | None
    candidate: int | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search says of its tree's nodes, in the tree's order; `chosen` is the path of the trace that answered."""

    search: StoredSearch
    nodes: tuple[SearchNode, ...]
    chosen: int


@dataclass(frozen=True, slots=True)
class TraceTree:
    """The tree of a problem. `branches[i]` is path i of `tree`; `own` the path of the trace it was asked for.

    `left_out` traces of the problem are not in it. `steps[i]` are the texts of path i. In the tree of a search
    (`sought`) `own` is -1 where the trace it was asked for is not of that search, and paths may be without a trace.
    """

    prompt: str
    tree: PrefixTree
    branches: tuple[Branch, ...]
    steps: tuple[tuple[str, ...], ...]
    own: int
    scorer: str
    left_out: int
    sought: Sought | None = None

    def branch(self, node: int) -> Branch | None:
        """The path that a node stands on; None where it led to no trace."""
        path = int(self.tree.path[node])
        return self.branches[path] if 0 <= path < len(self.branches) and self.branches[path].trace_id else None

    def text(self, node: int) -> str:
        """What a node says."""
        if self.sought is not None and node:
            return self.sought.nodes[node].text
        return self.prompt if node == 0 else self.steps[int(self.tree.path[node])][int(self.tree.step[node])]


def of_problem(c: Connection, trace_id: int) -> TraceTree:
    """The tree that a trace belongs to. Raises NotFoundError."""
    asked = traces.load(c, trace_id)
    same = select(trace.c.id).where(trace.c.problem_id == asked.problem.id, batches.visible(trace.c.batch_id))
    ids = list(c.scalars(same.order_by(trace.c.id)))
    taken = ids[:MOST_TRACES] if trace_id in ids[:MOST_TRACES] else [*ids[: MOST_TRACES - 1], trace_id]
    loaded = traces.load_many(c, taken)
    scorer = _newest_scorer(c, trace_id)
    branches: list[Branch] = []
    paths: list[Path] = []
    for each in loaded:
        branches.append(Branch(each.id, each.model, each.outcome))
        paths.append(Path(_steps(each), each.outcome, _scores(c, each, scorer)))
    owners = {each.id: each for each in loaded}
    for row in _candidates(c, list(owners)):
        owner = owners[row.trace_id]
        branches.append(Branch(owner.id, row.source, None, row.option))
        paths.append(Path((*_steps(owner)[: row.ordinal], row.text)))
    own = next(at for at, branch in enumerate(branches) if branch.trace_id == trace_id)
    return TraceTree(
        asked.problem.prompt,
        grow(paths),
        tuple(branches),
        tuple(tuple(path.steps) for path in paths),
        own,
        scorer,
        len(ids) - len(loaded),
    )


@dataclass(frozen=True, slots=True)
class Searches:
    """The searches for a trace's problem: `own` is the one that wrote the trace, `others` the newest first."""

    own: StoredSearch | None
    others: tuple[StoredSearch, ...]


def searches_of(c: Connection, trace_id: int) -> Searches:
    """Which searches a trace's tree may be shown of. Raises NotFoundError."""
    own = searches.of_trace(c, trace_id)
    everything = searches.of_problem(c, traces.load(c, trace_id).problem.id)
    return Searches(own, tuple(one for one in everything if own is None or one.id != own.id))


def of_search(c: Connection, search_id: int, trace_id: int) -> TraceTree:
    """The tree of a search, asked for at a trace. Raises NotFoundError."""
    read = searches.read(c, search_id)
    laid = lay_out(read.nodes)
    found = _traces_of(c, read)
    branches = tuple(
        Branch(0 if one is None else one, read.search.model, found.get(one or 0)) for one in read.trace_ids
    )
    return TraceTree(
        read.search.prompt,
        laid.tree,
        branches,
        tuple(() for _ in branches),
        next((at for at, branch in enumerate(branches) if branch.trace_id == trace_id), -1),
        read.search.scorer,
        0,
        Sought(read.search, tuple(read.nodes[at] for at in laid.order.tolist()), read.search.chosen),
    )


def step_of(c: Connection, made: TraceTree, node: int) -> int:
    """The step of its trace at which a node of a search begins; -1: its text is not there.

    A node is what was drawn at once, which the trace may cut into several steps.
    """
    branch = made.branch(node)
    if branch is None or made.sought is None:
        return int(made.tree.step[node])
    chain = [node]
    while (parent := int(made.tree.parent[chain[-1]])) > 0:
        chain.append(parent)
    one = traces.load(c, branch.trace_id)
    start = end = 0
    for each in reversed(chain):
        said = made.sought.nodes[each].text.strip()
        start = one.text.find(said, end)
        if start < 0:
            return -1
        end = start + len(said)
    return next((at for at, step in enumerate(one.segmentation.steps) if step.end > start), -1)


def _traces_of(c: Connection, read: SearchTree) -> dict[int, int | None]:
    """Outcomes by trace."""
    ids = [one for one in read.trace_ids if one is not None]
    out: dict[int, int | None] = {}
    for start in range(0, len(ids), _CHUNK):
        query = select(trace.c.id, trace.c.outcome).where(trace.c.id.in_(ids[start : start + _CHUNK]))
        out |= {row.id: row.outcome for row in c.execute(query)}
    return out


def _steps(one: Trace) -> tuple[str, ...]:
    return tuple(one.step_text(at) for at in range(len(one.segmentation.steps)))


def _newest_scorer(c: Connection, trace_id: int) -> str:
    given = scores.of_trace(c, trace_id)
    return given[-1].scorer if given else ""


def _scores(c: Connection, one: Trace, scorer: str) -> tuple[float | None, ...]:
    if not scorer:
        return ()
    given = [s for s in scores.of_trace(c, one.id) if s.scorer == scorer and s.segmentation_id == one.segmentation.id]
    return given[-1].values if given else ()


def _candidates(c: Connection, ids: list[int]) -> Iterator[Row[int, int, int, str, str]]:
    columns = (candidate.c.trace_id, candidate.c.ordinal, candidate.c.option, candidate.c.text, candidate.c.source)
    for start in range(0, len(ids), _CHUNK):
        of = candidate.c.trace_id.in_(ids[start : start + _CHUNK])
        yield from c.execute(
            select(*columns).where(of).order_by(candidate.c.trace_id, candidate.c.ordinal, candidate.c.id)
        )
