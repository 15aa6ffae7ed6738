"""Rubrics: what a person looks for in traces, in words, with examples and a rule; and where it was found.

A rule is what the finder finds (`studio.store.find_spans`). Hits belong to a version of the rubric: a change of the
rule or of the examples makes a new version, and hits of older ones are not shown. Every hit's quote stands verbatim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches, find_spans
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.find_pattern import Found, Mode, compiled
from studio.store.find_spans import Place, Query

RULE = "rule"
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


@dataclass(frozen=True, slots=True)
class RubricHit:
    """One quote: text[start:end] of a trace."""

    trace_id: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hits that say the same: their first words, folded; the most frequent first."""

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
    number = select(func.count(h.trace_id.distinct())).where(h.rubric_id == r.id, h.version == r.version)
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
    """What the rule finds in the next traces, and where to go on (None: at the end)."""
    query = Query(draft.text, draft.mode, places=draft.places or find_spans.EVERYWHERE, project=project)
    results = find_spans.search(c, query, limit=TRACES_AT_ONCE, after=after)
    ids = [hit.trace_id for hit in results.hits]
    texts = {row.id: row.text for row in c.execute(select(s.trace.c.id, s.trace.c.text).where(s.trace.c.id.in_(ids)))}
    hits = [
        RubricHit(hit.trace_id, span.start, span.end, texts[hit.trace_id][span.start : span.end])
        for hit in results.hits
        for span in hit.spans
        if span.place is not Place.PROBLEM
    ]
    return hits, results.after


def start(c: Connection, rubric_id: int) -> Rubric:
    """Forget what was found before, to look anew."""
    c.execute(delete(i.rubric_hit).where(i.rubric_hit.c.rubric_id == rubric_id, i.rubric_hit.c.how == RULE))
    return get(c, rubric_id)


def store(c: Connection, rubric: Rubric, hits: Sequence[RubricHit]) -> Changes:
    """Keep hits of this version."""
    if hits:
        base = {"rubric_id": rubric.id, "how": RULE, "version": rubric.version}
        rows = [base | {"trace_id": h.trace_id, "start": h.start, "end": h.end, "quote": h.quote} for h in hits]
        c.execute(insert(i.rubric_hit), rows)
    return changed(Topic.FAILURES)


def clusters(c: Connection, rubric_id: int) -> tuple[Cluster, ...]:
    """The hits of the present version by what they say, the largest cluster first."""
    h, r = i.rubric_hit.c, i.rubric.c
    query = (
        select(h.trace_id, h.start, h.end, h.quote)
        .join(i.rubric, (r.id == h.rubric_id) & (r.version == h.version))
        .join(s.trace, s.trace.c.id == h.trace_id)
        .where(h.rubric_id == rubric_id, batches.visible(s.trace.c.batch_id))
        .order_by(h.trace_id, h.start)
    )
    found: dict[str, list[RubricHit]] = {}
    for row in c.execute(query):
        hit = RubricHit(row.trace_id, row.start, row.end, row.quote)
        name = " ".join(row.quote.casefold().split()[:WORDS_OF_CLUSTER])
        found.setdefault(name, []).append(hit)
    sizes = Counter({name: len(hits) for name, hits in found.items()})
    return tuple(Cluster(name, tuple(found[name])) for name, _ in sizes.most_common())


def _rubric(row: Row[*tuple[object, ...]]) -> Rubric:
    rule = row.rule
    places = frozenset(map(Place, rule.get("places", ())))
    examples = tuple(Example(bool(positive), text) for positive, text in row.examples)
    draft = Draft(row.name, row.definition, rule.get("text", ""), Mode(rule.get("mode", Mode.WORDS)), places, examples)
    return Rubric(row.id, draft, row.version, row.traces)
