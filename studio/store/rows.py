"""Which rows a run gets: a selection of traces with what people said of them, resolved, counted, streamed.

The resolution happens in SQL, a thousand traces at a time, so that counting leaves Python's threads alone.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, func, or_, select, text

from studio.errors import NotFoundError
from studio.store import alternatives, batches, find, machine_labels
from studio.store import schema as s
from studio.store.row_queries import HEADS, PROJECTS, REPAIRS, SCOPE, SOURCES, STEPS, SUMMARY, VOTES
from trainer.contract.records import InputRow, SourceRef, Split, Votes
from trainer.reasoning.split import split_of

_PIECE = 1000  # traces in one query
NO_REFERENCE = "no reference answer"


class Resolution(StrEnum):
    """What becomes of a step that several people rated: adjudicated or gold first, then a majority of over half."""

    DROP = "adjudicated, else majority, else drop"
    SOFT = "adjudicated, else majority, else soft"


class Origin(StrEnum):
    """Where an annotation came from; of rows that need no rating: where the trace did, HERE = a run wrote it."""

    HERE = "here"
    IMPORTED = "imported"
    SAMPLE = "sample"


_KINDS = {Origin.HERE: "here", Origin.IMPORTED: "import", Origin.SAMPLE: "sample"}
_ORIGINS = {kind: origin for origin, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which traces, and whose ratings of them. Empty tuples mean no restriction; names and uids both name a thing."""

    projects: tuple[str, ...] = ()  # names or uids
    text: str = ""  # in the problem or the trace
    annotators: tuple[str, ...] = ()  # names or uids
    origins: tuple[Origin, ...] = ()
    traces: tuple[str, ...] = ()  # uids: only these
    only_submitted: bool = True
    skip_unsure: bool = False  # leave out ratings that their annotator marked unsure
    resolution: Resolution = Resolution.DROP
    labelled: bool = True  # False: rows to be scored, rated or not
    unrated: bool = False  # rows that nobody rated go in, too; rated ones bring their ratings
    responses: bool = False  # rows bring the trace's whole text
    problems: bool = False  # one row a problem, and only of problems with a reference answer
    unreferenced: bool = False  # of `problems`: also those without a reference answer
    alternatives: bool = False  # rated candidates teach too, each as a row of its own that labels its last step alone
    machine: str = ""  # a method of machine labels that speaks for traces which nobody rated
    limit: int = 0  # at most so many rows; 0 = all


@dataclass(frozen=True, slots=True)
class Counts:
    """What a selection holds; by reason, `left_out` counts traces and `unlabelled` steps of rows that went in."""

    rows: int
    problems: int
    steps: int
    characters: int  # of problems and steps, for the estimate
    longest: int  # characters of the longest row
    per_split: Mapping[Split, int]
    negative: float  # weights: a soft label counts in parts
    neutral: float
    positive: float
    left_out: Mapping[str, int] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    alternatives: int = 0  # rows besides `rows`: rated candidates of training problems
    referenced: int = 0  # rows whose problem has a reference answer
    recorded: int = 0  # rows with a recorded outcome
    judged: int = 0  # rows of which all steps are rated, or one negative
    known: int = 0  # rows that are one of the three: something says whether they are right
    wrong: int = 0  # rows with a step that most people call negative
    by_machine: Mapping[Split, int] = field(default_factory=dict)  # rows that machine labels speak for

    @property
    def labels(self) -> float:
        """How many steps carry a label."""
        return self.negative + self.neutral + self.positive


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows of a selection and what was counted."""

    rows: tuple[InputRow, ...]
    counts: Counts

    @property
    def left_out(self) -> Mapping[str, int]:
        """Traces that did not go in, by reason."""
        return self.counts.left_out


Progress = Callable[[int, int], None]


def count(c: Connection, selection: Selection, progress: Progress | None = None) -> Counts:
    """Count a selection without reading its texts; `progress(done, total)` in traces. Raises NotFoundError."""
    scope = _scope(c, selection)
    door = _Door(selection)
    counted = _Counted(left_out=Counter({"unpublished": scope.unpublished} if scope.unpublished else {}))
    for piece in _pieces(scope, progress):
        for row in _summaries(c, selection, _given(selection, scope, piece)):
            counted.add(selection, row, door.why_not(row))
    if selection.alternatives:
        counted.alternatives = sum(alternatives.is_one(row) for row in stream(c, selection))
    return counted.counts()


def stream(c: Connection, selection: Selection, progress: Progress | None = None) -> Iterator[InputRow]:
    """The rows one by one, by trace id: those that `count` on the same connection counts. Raises NotFoundError."""
    scope = _scope(c, selection)
    made, door = 0, _Door(selection)
    taught = alternatives.Taught()
    for piece in _pieces(scope, progress):
        given = _given(selection, scope, piece)
        going = [row for row in _summaries(c, selection, given) if not door.why_not(row)]
        if selection.limit:
            going = going[: selection.limit - made]
        made += len(going)
        given |= {"traces": json.dumps([row.id for row in going])}
        for row in _rows(c, selection, given):
            if selection.alternatives:
                taught.note(row)
            yield row
        if selection.alternatives:
            taught.pieces.append(given)
        if selection.limit and made >= selection.limit:
            break
    for given in taught.pieces:  # when every row has said what it teaches, so that nothing is taught twice
        rows = {row.trace: row for row in _rows(c, selection, given)}
        yield from alternatives.stream(c, SCOPE, given, rows, taught)


def select_rows(c: Connection, selection: Selection, progress: Progress | None = None) -> Selected:
    """Rows and counts at once, for selections that fit into memory. Raises NotFoundError."""
    return Selected(tuple(stream(c, selection)), count(c, selection, progress))


@dataclass(frozen=True, slots=True)
class _Scope:
    """Names turned into ids; `traces` are the published traces that the filters leave."""

    traces: tuple[int, ...]
    unpublished: int
    projects: tuple[int, ...]
    annotators: tuple[int, ...]


def _scope(c: Connection, selection: Selection) -> _Scope:
    projects = _ids(c, s.project, selection.projects, "project")
    annotators = _ids(c, s.annotator, selection.annotators, "annotator")
    wanted = select(s.trace.c.id, s.batch.c.state).join(s.batch, s.batch.c.id == s.trace.c.batch_id)
    if projects:
        inside = select(s.project_trace.c.trace_id).where(s.project_trace.c.project_id.in_(projects))
        wanted = wanted.where(s.trace.c.id.in_(inside))
    if selection.text.strip():
        wanted = wanted.where(s.trace.c.id.in_(find.matching(selection.text)))
    if selection.traces:
        listed = func.json_each(json.dumps(selection.traces)).table_valued("value")
        wanted = wanted.where(s.trace.c.uid.in_(select(listed.c.value)))
    if selection.origins and (selection.unrated or not selection.labelled):
        wanted = wanted.where(_from(selection))
    seen: list[int] = []
    unpublished = 0
    for part in c.execute(wanted.order_by(s.trace.c.id)).partitions(_PIECE):  # other threads get their turn between
        published = [row.id for row in part if row.state == batches.PUBLISHED]
        unpublished += len(part) - len(published)
        seen += published
    return _Scope(tuple(seen), unpublished, projects, annotators)


def _from(selection: Selection) -> ColumnElement[bool]:
    """The condition that a trace came from there; where ratings come along, that somebody there rated it does, too."""
    kinds = {_KINDS[origin] for origin in selection.origins}
    came = s.batch.c.kind.in_(kinds | {"ingest"} if Origin.HERE in selection.origins else kinds)
    if not selection.unrated:
        return came
    of_rating = s.batch.alias()
    said = select(s.annotation.c.trace_id).outerjoin(of_rating, of_rating.c.id == s.annotation.c.batch_id)
    return or_(came, s.trace.c.id.in_(said.where(func.coalesce(of_rating.c.kind, _KINDS[Origin.HERE]).in_(kinds))))


def _ids(c: Connection, table: Table, names: Sequence[str], noun: str) -> tuple[int, ...]:
    found: list[int] = []
    for name in names:
        same = c.scalars(select(table.c.id).where(or_(table.c.uid == name, table.c.name == name))).all()
        if not same:
            known = ", ".join(c.scalars(select(table.c.name).order_by(table.c.name).limit(20)))
            raise NotFoundError(f"there is no {noun} {name!r} in this workspace; there are: {known or 'none'}")
        found += same
    return tuple(found)


def _summaries(c: Connection, selection: Selection, given: dict[str, Any]) -> Iterator[Any]:
    """The summary of each trace of a piece; where nobody rated, of what the chosen machine labels say."""
    if not selection.machine:
        yield from c.execute(text(SUMMARY), given)
        return
    votes = machine_labels.votes_of(c, selection.machine, given["traces"])
    for row in c.execute(text(SUMMARY), given):
        said = [vote for vote in votes.get(row.id, ()) if vote is not None]
        if row.labels or not said:
            yield row
            continue
        weights = {"negative": sum(v.negative for v in said), "positive": sum(v.positive for v in said)}
        wrong = sum(v.negative > v.positive for v in said)
        yield SimpleNamespace(**row._asdict() | weights | {"labels": len(said), "wrong": wrong, "by_machine": True})


def _pieces(scope: _Scope, progress: Progress | None) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(scope.traces), _PIECE):
        if progress is not None:
            progress(start, len(scope.traces))
        yield scope.traces[start : start + _PIECE]
    if progress is not None:
        progress(len(scope.traces), len(scope.traces))


def _given(selection: Selection, scope: _Scope, piece: Sequence[int]) -> dict[str, Any]:
    return {
        "traces": json.dumps(piece),
        "projects": json.dumps(scope.projects),
        "any_project": not scope.projects,
        "annotators": json.dumps(scope.annotators),
        "any_annotator": not scope.annotators,
        "kinds": json.dumps([_KINDS[origin] for origin in selection.origins]),
        "any_origin": not selection.origins,
        "only_submitted": selection.only_submitted,
        "skip_unsure": selection.skip_unsure,
        "soft": selection.resolution is Resolution.SOFT,
        "labelled": selection.labelled or selection.unrated,
    }


class _Door:
    """Lets traces in, one after the other by id; remembers the problems it has seen where one row a problem goes in."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._seen: set[str] = set()

    def why_not(self, row: Any) -> str:  # noqa: ANN401 - a row of the summary
        """Why a trace does not go in; empty when it does."""
        if row.steps == 0:
            return "no steps"
        if self._selection.problems:
            return self._why_not_its_problem(row)
        if not self._selection.labelled or self._selection.unrated or row.labels:
            return ""
        if row.ties:
            return "tie"
        if row.usable:
            return "no rating"
        return str(row.why or "not annotated")

    def _why_not_its_problem(self, row: Any) -> str:  # noqa: ANN401
        if not row.referenced and not self._selection.unreferenced:
            return NO_REFERENCE
        if row.fold in self._seen:
            return "its problem is in already"
        self._seen.add(row.fold)
        return ""


@dataclass(slots=True)
class _Counted:
    """Sums over the summary rows."""

    left_out: Counter[str]
    unlabelled: Counter[str] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)
    problems: set[str] = field(default_factory=set)
    rows: int = 0
    steps: int = 0
    characters: int = 0
    longest: int = 0
    negative: float = 0.0
    neutral: float = 0.0
    positive: float = 0.0
    alternatives: int = 0
    known: Counter[str] = field(default_factory=Counter)
    by_machine: Counter[Split] = field(default_factory=Counter)

    def add(self, selection: Selection, row: Any, why: str) -> None:  # noqa: ANN401 - a row of the summary
        if not why and selection.limit and self.rows >= selection.limit:
            why = "over the limit"
        if why:
            self.left_out[why] += 1
            return
        self.rows += 1
        self.steps += row.steps
        self.characters += row.characters
        self.longest = max(self.longest, row.characters)
        self.problems.add(row.fold)
        self.splits[split_of(row.fold)] += 1
        if selection.labelled:
            self.negative += row.negative
            self.neutral += row.neutral
            self.positive += row.positive
            self.unlabelled["tie"] += row.ties
            self.unlabelled["no rating"] += row.steps - row.labels - row.ties
        judged = row.wrong > 0 or row.labels == row.steps
        self.known["referenced"] += row.referenced
        self.known["recorded"] += row.outcome is not None
        self.known["judged"] += judged
        self.known["known"] += bool(row.referenced or judged or row.outcome is not None)
        self.known["wrong"] += row.wrong > 0
        self.by_machine[split_of(row.fold)] += getattr(row, "by_machine", False)

    def counts(self) -> Counts:
        return Counts(
            rows=self.rows,
            problems=len(self.problems),
            steps=self.steps,
            characters=self.characters,
            longest=self.longest,
            per_split={split: self.splits[split] for split in Split},
            negative=self.negative,
            neutral=self.neutral,
            positive=self.positive,
            left_out=dict(self.left_out),
            unlabelled={why: number for why, number in self.unlabelled.items() if number},
            alternatives=self.alternatives,
            by_machine=dict(self.by_machine),
            **self.known,
        )


def _rows(c: Connection, selection: Selection, given: dict[str, Any]) -> Iterator[InputRow]:
    sources: dict[int, list[SourceRef]] = {}
    votes: dict[tuple[int, int], Votes] = {}
    projects = {row[0]: str(row[1]) for row in c.execute(text(PROJECTS), given)}
    repairs: dict[tuple[int, int], int] = {}
    with_votes = selection.labelled or selection.unrated
    if with_votes:
        for row in c.execute(text(SOURCES), given):
            sources.setdefault(row.trace_id, []).append(SourceRef(row.uid, row.revision))
            projects[row.trace_id] = row.project
        votes = {(row[0], row[1]): Votes(row[2], row[3], row[4]) for row in c.execute(text(VOTES), given)}
        repairs = {(row[0], row[1]): row[2] for row in c.execute(text(REPAIRS), given)}
    if selection.machine:
        rated = {trace_id for trace_id, _ in votes}
        for trace_id, said in machine_labels.votes_of(c, selection.machine, given["traces"]).items():
            if trace_id not in rated:
                votes |= {(trace_id, ordinal): vote for ordinal, vote in enumerate(said) if vote is not None}
    heads, steps = c.execute(text(HEADS), given), c.execute(text(STEPS), given)
    for head, mine in zip(heads, _by_trace(steps), strict=True):
        yield InputRow(
            id=f"{head.uid}:{head.version}",
            trace=head.uid,
            segmentation=head.version,
            problem=head.prompt,
            steps=tuple(head.text[row.start : row.end] for row in mine),
            step_ids=tuple(row.step_id for row in mine),
            reference=head.reference_answer,
            votes=tuple(votes.get((head.id, row.ordinal)) for row in mine) if with_votes else None,
            split=split_of(head.fold),
            project=projects.get(head.id, ""),
            origin=_ORIGINS.get(head.kind, Origin.HERE).value,
            sources=tuple(sources.get(head.id, ())),
            repairs=tuple(repairs.get((head.id, row.ordinal)) for row in mine) if repairs else (),
            outcome=head.outcome,
            response=head.text if selection.responses else None,
        )


def _by_trace(steps: Iterable[Row[Any]]) -> Iterator[list[Row[Any]]]:
    for _, mine in itertools.groupby(steps, key=lambda row: row[0]):
        yield list(mine)
