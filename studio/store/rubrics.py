"""Rubrics: what a person looks for in traces, in words, with examples and a rule; and where it was found.

A rule is what the finder finds (`studio.store.find_spans`). Its hits belong to a version of the rubric: another rule is
a new version, and what the older one found is shown no more unless a person judged it. A run of the recipe `rubric`
finds by a classifier or a judge; the newest run's word on a trace counts. Every hit's quote stands verbatim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError, TooSlowError
from studio.store import batches, find_spans
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.find_pattern import SLOW, Found, Mode, compiled
from studio.store.find_spans import Place, Query
from trainer.contract.rubrics import RubricCard, RubricExample
from trainer.reasoning import likeness

RULE = "rule"
MOST_CLUSTERED = 20_000  # hits that are put together; more are cut, and their number is told
TRACES_AT_ONCE = 200
WORDS_OF_CLUSTER = 8


@dataclass(frozen=True, slots=True)
class Example:
    """A text that the rubric is about, or one that it must not find."""

    positive: bool
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A rubric as a person writes it; empty `places`: everywhere."""

    name: str
    definition: str = ""
    text: str = ""
    mode: Mode = Mode.WORDS
    places: frozenset[Place] = frozenset()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Rubric:
    """A stored rubric, and in how many traces its present version was found."""

    id: int
    draft: Draft
    version: int
    traces: int


class HitState(StrEnum):
    """What a person said of a hit."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class RubricHit:
    """One quote: text[start:end] of a trace; found by rule, classifier or judge, these with a score in [0, 1]."""

    trace_id: int
    start: int
    end: int
    quote: str
    id: int = 0
    how: str = RULE
    score: float | None = None
    state: HitState = HitState.OPEN


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hits that say the same, under the first words of the first one, folded."""

    name: str
    hits: tuple[RubricHit, ...]

    @property
    def traces(self) -> int:
        """How many traces they stand in."""
        return len({hit.trace_id for hit in self.hits})


def save(c: Connection, draft: Draft, rubric_id: int | None = None) -> int:
    """Make a rubric, or change one. Raises ConflictError (its name) and FindError (its rule)."""
    name = draft.name.strip()
    if not name:
        raise ConflictError("a rubric needs a name")
    compiled(draft.text, draft.mode)
    r = i.rubric.c
    other = c.scalar(select(r.id).where(r.name == name))
    if other is not None and other != rubric_id:
        raise ConflictError(f"there is a rubric {name!r} already; choose another name")
    said = {
        "name": name,
        "definition": draft.definition,
        "rule": {"text": draft.text, "mode": draft.mode.value, "places": sorted(p.value for p in draft.places)},
        "examples": [[example.positive, example.text] for example in draft.examples],
    }
    if rubric_id is None:
        key = c.execute(insert(i.rubric).values(**said, uid=new_uid(), created_at=now())).inserted_primary_key
        assert key is not None
        return int(key[0])
    before = get(c, rubric_id)
    changes = (before.draft.text, before.draft.mode, before.draft.places) != (draft.text, draft.mode, draft.places)
    c.execute(update(i.rubric).where(r.id == rubric_id).values(**said, version=before.version + changes))
    return rubric_id


def remove(c: Connection, rubric_id: int) -> Changes:
    """Delete a rubric with its hits."""
    c.execute(delete(i.rubric_hit).where(i.rubric_hit.c.rubric_id == rubric_id))
    c.execute(delete(i.rubric).where(i.rubric.c.id == rubric_id))
    return changed(Topic.FAILURES)


def get(c: Connection, rubric_id: int) -> Rubric:
    """One rubric. Raises NotFoundError."""
    found = next((one for one in all_of(c) if one.id == rubric_id), None)
    if found is None:
        raise NotFoundError(f"there is no rubric {rubric_id} in this workspace; reload the list")
    return found


def all_of(c: Connection) -> tuple[Rubric, ...]:
    """Every rubric, by name."""
    r, h = i.rubric.c, i.rubric_hit.c
    number = (
        select(func.count(h.trace_id.distinct()))
        .where(h.rubric_id == r.id, _counts(), h.state != HitState.REJECTED, _is_visible())
        .correlate(i.rubric)
    )
    query = select(i.rubric, number.scalar_subquery().label("traces")).order_by(r.name)
    return tuple(map(_rubric, c.execute(query)))


def failing_examples(draft: Draft) -> tuple[Example, ...]:
    """The examples that the rule gets wrong: positive ones it does not find, negative ones it does."""
    pattern = compiled(draft.text, draft.mode)
    if pattern is None:
        return draft.examples
    return tuple(
        one
        for one in draft.examples
        if bool(pattern.spans_of([(one.text, [Found(0, len(one.text))])], most=1)[0]) != one.positive
    )


def find(
    c: Connection, draft: Draft, *, project: int | None = None, after: int = 0
) -> tuple[list[RubricHit], int | None]:
    """What the rule finds in the next traces, and where to go on (None: at the end). Raises TooSlowError."""
    query = Query(draft.text, draft.mode, places=draft.places or find_spans.EVERYWHERE, project=project)
    results = find_spans.search(c, query, limit=TRACES_AT_ONCE, after=after)
    if results.left_out:  # a count without them would be wrong, and nobody would know
        raise TooSlowError(f"“{draft.text}” takes too long in trace {results.left_out[0]}. {SLOW}")
    ids = [hit.trace_id for hit in results.hits]
    texts = {row.id: row.text for row in c.execute(select(s.trace.c.id, s.trace.c.text).where(s.trace.c.id.in_(ids)))}
    hits = [
        RubricHit(hit.trace_id, span.start, span.end, texts[hit.trace_id][span.start : span.end])
        for hit in results.hits
        for span in hit.spans
        if span.place is not Place.PROBLEM
    ]
    return hits, results.after


def searched(c: Connection, project: int | None = None) -> int:
    """In how many traces a rule looks."""
    query = select(func.count(s.trace.c.id)).where(batches.visible(s.trace.c.batch_id))
    if project is not None:
        inside = select(s.project_trace.c.trace_id).where(s.project_trace.c.project_id == project)
        query = query.where(s.trace.c.id.in_(inside))
    return int(c.scalar(query) or 0)


def start(c: Connection, rubric_id: int) -> Rubric:
    """Forget what the rule found before and nobody judged, to look anew."""
    h = i.rubric_hit.c
    c.execute(delete(i.rubric_hit).where(h.rubric_id == rubric_id, h.how == RULE, h.state == HitState.OPEN))
    return get(c, rubric_id)


def store(c: Connection, rubric: Rubric, hits: Sequence[RubricHit]) -> Changes:
    """Keep hits of this version's rule; those that a person judged stand already."""
    h = i.rubric_hit.c
    ids = {hit.trace_id for hit in hits}
    judged = select(h.trace_id, h.start, h.end).where(h.rubric_id == rubric.id, h.how == RULE, h.trace_id.in_(ids))
    known = {(row.trace_id, row.start, row.end) for row in c.execute(judged)}
    base = {"rubric_id": rubric.id, "how": RULE, "version": rubric.version}
    rows = [
        base | {"trace_id": hit.trace_id, "start": hit.start, "end": hit.end, "quote": hit.quote}
        for hit in hits
        if (hit.trace_id, hit.start, hit.end) not in known
    ]
    if rows:
        c.execute(insert(i.rubric_hit), rows)
    return changed(Topic.FAILURES)


def review(c: Connection, hit_id: int, state: HitState) -> Changes:
    """Say that a hit is right or wrong, or nothing any more. Raises NotFoundError."""
    done = c.execute(update(i.rubric_hit).where(i.rubric_hit.c.id == hit_id).values(state=state.value))
    if done.rowcount != 1:
        raise NotFoundError(f"there is no hit {hit_id} of a rubric any more; look again")
    return changed(Topic.FAILURES)


def found(c: Connection, rubric_id: int, *, how: str = "") -> tuple[RubricHit, ...]:
    """What the rubric was found in, by trace and place; `how`: by rule, classifier or judge alone."""
    h = i.rubric_hit.c
    query = (
        select(h.trace_id, h.start, h.end, h.quote, h.id, h.how, h.score, h.state)
        .join(i.rubric, i.rubric.c.id == h.rubric_id)
        .join(s.trace, s.trace.c.id == h.trace_id)
        .where(h.rubric_id == rubric_id, _counts(), _is_visible(), batches.visible(s.trace.c.batch_id))
        .order_by(h.trace_id, h.start, h.id)
    )
    if how:
        query = query.where(h.how == how)
    return tuple(RubricHit(*row[:7], HitState(row.state)) for row in c.execute(query))


def traces_by_name(c: Connection) -> dict[str, frozenset[int]]:
    """In which traces each rubric was found, without what was rejected; by name."""
    h = i.rubric_hit.c
    query = (
        select(i.rubric.c.name, h.trace_id)
        .join(i.rubric, i.rubric.c.id == h.rubric_id)
        .where(_counts(), _is_visible(), h.state != HitState.REJECTED)
        .distinct()
        .order_by(i.rubric.c.name)
    )
    out: dict[str, set[int]] = {}
    for row in c.execute(query):
        out.setdefault(row.name, set()).add(row.trace_id)
    return {name: frozenset(traces) for name, traces in out.items()}


def clusters(c: Connection, rubric_id: int, *, how: str = "") -> tuple[Cluster, ...]:
    """The hits by what their quotes say, the largest cluster first; of very many the first ones."""
    hits = found(c, rubric_id, how=how)[:MOST_CLUSTERED]
    out = []
    for group in likeness.groups([hit.quote for hit in hits]):
        mine = tuple(hits[place] for place in group)
        out.append(Cluster(" ".join(mine[0].quote.casefold().split()[:WORDS_OF_CLUSTER]), mine))
    return tuple(out)


def card(c: Connection, name: str) -> RubricCard:
    """What a run looks for: the rubric with its written examples and what people said of hits. Raises NotFoundError."""
    wanted = next((one for one in all_of(c) if one.draft.name == name.strip()), None)
    if wanted is None:
        known = ", ".join(one.draft.name for one in all_of(c)) or "none"
        raise NotFoundError(f"there is no rubric {name!r} in this workspace; there are: {known}")
    h = i.rubric_hit.c
    said = (
        select(h.quote, h.state, s.problem.c.fold)
        .join(s.trace, s.trace.c.id == h.trace_id)
        .join(s.problem, s.problem.c.id == s.trace.c.problem_id)
        .where(h.rubric_id == wanted.id, h.state != HitState.OPEN, batches.visible(s.trace.c.batch_id))
        .order_by(h.id)
    )
    return RubricCard(
        uid=c.execute(select(i.rubric.c.uid).where(i.rubric.c.id == wanted.id)).scalar_one(),
        name=wanted.draft.name,
        version=wanted.version,
        definition=wanted.draft.definition,
        told=tuple(RubricExample(one.positive, one.text) for one in wanted.draft.examples),
        reviewed=tuple(RubricExample(row.state == HitState.CONFIRMED, row.quote, row.fold) for row in c.execute(said)),
    )


def _counts() -> ColumnElement[bool]:
    """A hit of the present rule, of a run, or one that a person judged."""
    h = i.rubric_hit.c
    return or_(h.how != RULE, h.version == i.rubric.c.version, h.state != HitState.OPEN)


def _is_visible() -> ColumnElement[bool]:
    """Of no run, or of one whose records are all in."""
    h = i.rubric_hit.c
    return or_(h.batch_id.is_(None), batches.visible(h.batch_id))


def _rubric(row: Row[*tuple[object, ...]]) -> Rubric:
    rule = row.rule
    places = frozenset(map(Place, rule.get("places", ())))
    examples = tuple(Example(bool(positive), text) for positive, text in row.examples)
    draft = Draft(row.name, row.definition, rule.get("text", ""), Mode(rule.get("mode", Mode.WORDS)), places, examples)
    return Rubric(row.id, draft, row.version, row.traces)
