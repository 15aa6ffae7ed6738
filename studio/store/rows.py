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
from typing import Any

from sqlalchemy import Connection, Row, Table, func, or_, select, text

from studio.errors import NotFoundError
from studio.store import alternatives, batches, find
from studio.store import schema as s
from trainer.contract.records import InputRow, SourceRef, Split, Votes
from trainer.reasoning.split import split_of

_PIECE = 1000  # traces in one query


class Resolution(StrEnum):
    """What becomes of a step that several people rated: adjudicated or gold first, then a majority of over half."""

    DROP = "adjudicated, else majority, else drop"
    SOFT = "adjudicated, else majority, else soft"


class Origin(StrEnum):
    """Where an annotation (of a row to score: its trace) came from."""

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
    outcomes: bool = False  # rows that need an outcome and no rating: rated ones bring their ratings
    alternatives: bool = False  # rated candidates teach too, each as a row of its own that labels its last step alone
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
    counted = _Counted(left_out=Counter({"unpublished": scope.unpublished} if scope.unpublished else {}))
    for piece in _pieces(scope, progress):
        for row in c.execute(text(_SUMMARY), _given(selection, scope, piece)):
            counted.add(selection, row)
    if selection.alternatives:
        counted.alternatives = sum(alternatives.is_one(row) for row in stream(c, selection))
    return counted.counts()


def stream(c: Connection, selection: Selection, progress: Progress | None = None) -> Iterator[InputRow]:
    """The rows one by one, by trace id: those that `count` on the same connection counts. Raises NotFoundError."""
    scope = _scope(c, selection)
    made = 0
    taught = alternatives.Taught()
    for piece in _pieces(scope, progress):
        given = _given(selection, scope, piece)
        going = [row for row in c.execute(text(_SUMMARY), given) if not _why_not(selection, row)]
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
        yield from alternatives.stream(c, _SCOPE, given, rows, taught)


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
    if selection.origins and not selection.labelled:
        wanted = wanted.where(s.batch.c.kind.in_([_KINDS[origin] for origin in selection.origins]))
    seen: list[int] = []
    unpublished = 0
    for part in c.execute(wanted.order_by(s.trace.c.id)).partitions(_PIECE):  # other threads get their turn between
        published = [row.id for row in part if row.state == batches.PUBLISHED]
        unpublished += len(part) - len(published)
        seen += published
    return _Scope(tuple(seen), unpublished, projects, annotators)


def _ids(c: Connection, table: Table, names: Sequence[str], noun: str) -> tuple[int, ...]:
    found: list[int] = []
    for name in names:
        same = c.scalars(select(table.c.id).where(or_(table.c.uid == name, table.c.name == name))).all()
        if not same:
            known = ", ".join(c.scalars(select(table.c.name).order_by(table.c.name).limit(20)))
            raise NotFoundError(f"there is no {noun} {name!r} in this workspace; there are: {known or 'none'}")
        found += same
    return tuple(found)


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
        "labelled": selection.labelled or selection.outcomes,
    }


def _why_not(selection: Selection, row: Row[Any]) -> str:
    """Why a trace does not go in; empty when it does."""
    if row.steps == 0:
        return "no steps"
    if not selection.labelled or selection.outcomes or row.labels:
        return ""
    if row.ties:
        return "tie"
    if row.usable:
        return "no rating"
    return str(row.why or "not annotated")


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

    def add(self, selection: Selection, row: Row[Any]) -> None:
        why = _why_not(selection, row)
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
        )


def _rows(c: Connection, selection: Selection, given: dict[str, Any]) -> Iterator[InputRow]:
    sources: dict[int, list[SourceRef]] = {}
    votes: dict[tuple[int, int], Votes] = {}
    projects = {row[0]: str(row[1]) for row in c.execute(text(_PROJECTS), given)}
    repairs: dict[tuple[int, int], int] = {}
    with_votes = selection.labelled or selection.outcomes
    if with_votes:
        for row in c.execute(text(_SOURCES), given):
            sources.setdefault(row.trace_id, []).append(SourceRef(row.uid, row.revision))
            projects[row.trace_id] = row.project
        votes = {(row[0], row[1]): Votes(row[2], row[3], row[4]) for row in c.execute(text(_VOTES), given)}
        repairs = {(row[0], row[1]): row[2] for row in c.execute(text(_REPAIRS), given)}
    heads, steps = c.execute(text(_HEADS), given), c.execute(text(_STEPS), given)
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
        )


def _by_trace(steps: Iterable[Row[Any]]) -> Iterator[list[Row[Any]]]:
    for _, mine in itertools.groupby(steps, key=lambda row: row[0]):
        yield list(mine)


# `said`: the annotations of the selection, with the reason why one is not used; `end_at`: of one made here the ratings
# behind its first negative do not count, as in `Annotation.counted`. `votes`: what they said of each step,
# adjudications and gold before plain ratings. `resolved`: the weights that come of it, no row for a dropped tie.
_SCOPE = """
WITH scope AS MATERIALIZED (
  SELECT trace.id, trace.problem_id, segmentation.id AS segmentation_id
  FROM json_each(:traces) AS wanted
  JOIN trace ON trace.id = wanted.value
  JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
),
said AS MATERIALIZED (
  SELECT a.id, a.uid, a.revision, a.trace_id, a.project_id, a.kind IN ('adjudication', 'gold') AS judged,
    CASE WHEN a.state = 'open' AND :only_submitted THEN 'not submitted'
         WHEN a.segmentation_id <> scope.segmentation_id THEN 'older steps'
         WHEN a.finish_reason = 'bad_problem' THEN 'bad problem'
         WHEN a.finish_reason = 'give_up' THEN 'given up'
         ELSE '' END AS why,
    CASE WHEN a.batch_id IS NULL  -- ratings behind it do not count (Annotation.counted), but where errors are repaired
      AND NOT EXISTS (SELECT 1 FROM rating AS n WHERE n.annotation_id = a.id AND n.repairs IS NOT NULL) THEN (
      SELECT min(n.ordinal) FROM rating AS n WHERE n.annotation_id = a.id AND n.option = 0 AND n.value = -1
    ) END AS end_at
  FROM scope JOIN annotation AS a ON a.trace_id = scope.id LEFT JOIN batch ON batch.id = a.batch_id
  WHERE :labelled AND a.state <> 'void' AND (batch.id IS NULL OR batch.state = 'published')
    AND (:any_project OR a.project_id IN (SELECT value FROM json_each(:projects)))
    AND (:any_annotator OR a.annotator_id IN (SELECT value FROM json_each(:annotators)))
    AND (:any_origin OR coalesce(batch.kind, 'here') IN (SELECT value FROM json_each(:kinds)))
),
votes AS MATERIALIZED (
  SELECT said.trace_id, rating.ordinal, max(judged) AS judged,
    sum(NOT judged AND value = -1) AS n, sum(NOT judged AND value = 0) AS z, sum(NOT judged AND value = 1) AS p,
    sum(judged AND value = -1) AS jn, sum(judged AND value = 0) AS jz, sum(judged AND value = 1) AS jp
  FROM said JOIN rating ON rating.annotation_id = said.id AND rating.option = 0 AND rating.value IS NOT NULL
    AND NOT (:skip_unsure AND (rating.unsure OR coalesce(rating.flagged, 0)))
    AND (said.end_at IS NULL OR rating.ordinal <= said.end_at)
  WHERE said.why = '' AND (said.end_at IS NULL OR rating.ordinal <= said.end_at)
  GROUP BY said.trace_id, rating.ordinal
),
heard AS (
  SELECT trace_id, ordinal, iif(judged, jn, n) AS n, iif(judged, jz, z) AS z, iif(judged, jp, p) AS p FROM votes
),
resolved AS MATERIALIZED (
  SELECT trace_id, ordinal, 2 * max(n, z, p) > n + z + p AS agreed,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * n > n + z + p), 1.0 * n / (n + z + p)) AS negative,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * z > n + z + p), 1.0 * z / (n + z + p)) AS neutral,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * p > n + z + p), 1.0 * p / (n + z + p)) AS positive
  FROM heard
)
"""

_SUMMARY = f"""{_SCOPE},
summed AS MATERIALIZED (
  SELECT trace_id, sum(agreed OR :soft) AS labels, sum(NOT (agreed OR :soft)) AS ties,
    sum(iif(agreed OR :soft, negative, 0)) AS negative, sum(iif(agreed OR :soft, neutral, 0)) AS neutral,
    sum(iif(agreed OR :soft, positive, 0)) AS positive
  FROM resolved GROUP BY trace_id
),
reasons AS MATERIALIZED (
  SELECT trace_id, sum(why = '') AS usable, min(nullif(why, '')) AS why FROM said GROUP BY trace_id
)
SELECT scope.id, problem.fold, spans.steps, length(problem.prompt) + coalesce(spans.characters, 0) AS characters,
  coalesce(summed.labels, 0) AS labels, coalesce(summed.ties, 0) AS ties, coalesce(reasons.usable, 0) AS usable,
  reasons.why, summed.negative, summed.neutral, summed.positive
FROM scope JOIN problem ON problem.id = scope.problem_id
JOIN (
  SELECT scope.id, count(step.ordinal) AS steps, sum(step."end" - step.start) AS characters
  FROM scope LEFT JOIN step ON step.segmentation_id = scope.segmentation_id GROUP BY scope.id
) AS spans ON spans.id = scope.id
LEFT JOIN summed ON summed.trace_id = scope.id LEFT JOIN reasons ON reasons.trace_id = scope.id
ORDER BY scope.id
"""

_SOURCES = f"""{_SCOPE}
SELECT said.trace_id, said.uid, said.revision, project.name AS project
FROM said JOIN project ON project.id = said.project_id WHERE why = '' ORDER BY said.trace_id, said.id DESC
"""

_VOTES = f"""{_SCOPE} SELECT trace_id, ordinal, negative, neutral, positive FROM resolved WHERE agreed OR :soft"""

_REPAIRS = f"""{_SCOPE}  -- the last row of a step, which a mapping keeps, is what most people say
SELECT said.trace_id, rating.ordinal, rating.repairs
FROM said JOIN rating ON rating.annotation_id = said.id AND rating.option = 0 AND rating.repairs IS NOT NULL
WHERE said.why = '' GROUP BY said.trace_id, rating.ordinal, rating.repairs ORDER BY count(*), rating.repairs
"""

_PROJECTS = """
SELECT project_trace.trace_id, min(project.name) FROM json_each(:traces) AS wanted
JOIN project_trace ON project_trace.trace_id = wanted.value JOIN project ON project.id = project_trace.project_id
GROUP BY project_trace.trace_id
"""

_HEADS = """
SELECT trace.id, trace.uid, trace.text, trace.outcome, segmentation.version, problem.prompt, problem.fold,
  problem.reference_answer, batch.kind
FROM json_each(:traces) AS wanted JOIN trace ON trace.id = wanted.value
JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
JOIN problem ON problem.id = trace.problem_id JOIN batch ON batch.id = trace.batch_id
ORDER BY trace.id
"""

_STEPS = """
SELECT trace.id, step.ordinal, step.step_id, step.start, step."end"
FROM json_each(:traces) AS wanted JOIN trace ON trace.id = wanted.value
JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
JOIN step ON step.segmentation_id = segmentation.id
ORDER BY trace.id, step.ordinal
"""
