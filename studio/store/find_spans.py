"""Find with places: where in which traces a text or a regular expression stands, within thinking, answers, tools.

The full-text index names the traces that may have it (`find_pattern`, `find_words`); those are read in the order of
their ids, a handful at a time, so that first hits come at once and a person can cancel. What the index cannot name, an
expression without a literal, is read in full.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, literal_column, select

from studio.errors import TooSlowError
from studio.store import batches, find, flags, trace_conditions
from studio.store.find_pattern import Found, Mode, Pattern, compiled
from studio.store.find_words import Vocabulary
from studio.store.schema import message, problem, project_trace, score, trace
from studio.store.schema_inspect import flag
from studio.store.trace_filter import Filter
from trainer.contract.records import BlockKind
from trainer.reasoning.thinking import split_thinking

MOST_SPANS = 30  # of one trace
ASKED = (64, 2_048, None)  # ids asked of the index at once
READ_AT_ONCE = (1_024, 16_384, None)  # ids where all texts must be read
FIRST_READ, LARGEST_READ = 8, 128  # traces read at once
TOGETHER = 16  # of these searched before the first of them is told
AROUND = 60  # characters of a snippet on either side


class Place(StrEnum):
    """Where in a trace a span may stand."""

    PROBLEM = "problem"
    THINKING = "thinking"
    ANSWER = "answer"
    TOOL = "tool"
    OTHER = "other"


_PLACE_OF = {
    BlockKind.THINKING: Place.THINKING,
    BlockKind.SUMMARY: Place.THINKING,
    BlockKind.ANSWER: Place.ANSWER,
    BlockKind.TOOL_CALL: Place.TOOL,
    BlockKind.TOOL_RESULT: Place.TOOL,
}
EVERYWHERE = frozenset(Place)


@dataclass(frozen=True, slots=True)
class Query:
    """What to find and where. Empty `places` means everywhere; None and "" ask for nothing."""

    text: str
    mode: Mode = Mode.WORDS
    match_case: bool = False
    places: frozenset[Place] = EVERYWHERE
    role: str = ""
    model: str = ""
    project: int | None = None
    outcome: int | None = None
    flagged: str = ""  # a category of the monitor
    scorer: int | None = None  # has scores of this one
    score_below: float | None = None  # the lowest step score
    trace: int | None = None  # only this one
    stretch: tuple[int, int] | None = None  # only within these code points of its text
    filter: Filter = Filter()  # only traces of which this holds


@dataclass(frozen=True, slots=True)
class Span:
    """One hit: code points of the trace's text, or of its problem's prompt."""

    place: Place
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hits:
    """A trace with its spans. Those of the problem come first. `snippet` marks the first one as `find.Hit` does."""

    trace_id: int
    spans: tuple[Span, ...]
    more: bool
    snippet: str


@dataclass(frozen=True, slots=True)
class Results:
    """One page of hits. `after` continues it, None at the end; `read` traces of `candidates` known so far."""

    hits: tuple[Hits, ...]
    after: int | None
    read: int
    candidates: int
    left_out: tuple[int, ...] = ()  # traces in which the expression takes too long: whether they have it is not known


def _nothing_told(_read: int, _candidates: int, _hits: Sequence[Hits]) -> None:
    pass


def search(
    c: Connection,
    query: Query,
    *,
    vocabulary: Vocabulary | None = None,
    limit: int = 50,
    after: int = 0,
    check: Callable[[], None] = lambda: None,
    told: Callable[[int, int, Sequence[Hits]], None] = _nothing_told,
) -> Results:
    """The next traces with a hit, by id. `check` is asked often and may raise; `told` hears of progress with the hits
    so far. Raises FindError for a wrong expression."""
    pattern = compiled(query.text, query.mode, match_case=query.match_case)
    if pattern is None:
        return Results((), None, 0, 0)
    hits: list[Hits] = []
    slow: list[int] = []
    read, known, size = 0, 0, FIRST_READ
    for ids in _candidates(c, query, pattern, vocabulary, after):
        known += len(ids.found)
        begin = 0
        while begin < len(ids.found):
            for found in _read(c, ids.found[begin : begin + size], query, pattern, check):
                read += 1
                if found.too_slow:
                    slow.append(found.trace_id)
                if found.hits is not None:
                    hits.append(found.hits)
                    if len(hits) == limit:
                        after_it = found.trace_id if read < known or ids.more else None
                        return Results(tuple(hits), after_it, read, known, tuple(slow))
            begin += size
            told(read, known, hits)
            size = min(size * 2, LARGEST_READ)
    return Results(tuple(hits), None, read, known, tuple(slow))


@dataclass(frozen=True, slots=True)
class _Ids:
    """Some of the traces that have to be read, by id; `more` may follow."""

    found: Sequence[int]
    more: bool


def _candidates(
    c: Connection, query: Query, pattern: Pattern, vocabulary: Vocabulary | None, after: int
) -> Iterator[_Ids]:
    """The ids of the traces that have to be read: by the index, and those that the vocabulary does not know yet."""
    every = select(trace.c.id).where(*_filters(query)).order_by(trace.c.id)
    if pattern.match:
        yield from _matching(c, pattern.match, query, after, None)
        return
    expression = vocabulary.expression(pattern.runs) if vocabulary is not None else ""
    if vocabulary is None or not expression:
        yield from _in_turns(c, every, trace.c.id, after, READ_AT_ONCE)
        return
    if after < vocabulary.upto:
        yield from _matching(c, expression, query, after, vocabulary.upto)
    yield _Ids(c.scalars(every.where(trace.c.id > max(after, vocabulary.upto))).all(), False)


def _matching(c: Connection, expression: str, query: Query, after: int, upto: int | None) -> Iterator[_Ids]:
    """By the index, in its order: a handful first, so that the first page does not wait for phrases of every text."""
    index = find.INDEX
    joined = index.join(trace, trace.c.id == index.c.rowid)
    asked = [literal_column("trace_find").op("MATCH")(expression), *_filters(query)]
    if upto is not None:
        asked.append(index.c.rowid <= upto)
    wanted = select(index.c.rowid).select_from(joined).where(*asked).order_by(index.c.rowid)
    yield from _in_turns(c, wanted, index.c.rowid, after, ASKED)


def _in_turns(
    c: Connection, wanted: Select[Any], key: ColumnElement[int], after: int, sizes: Sequence[int | None]
) -> Iterator[_Ids]:
    """The ids that a query gives, some of these sizes at a time."""
    for size in sizes:
        found = c.scalars(wanted.where(key > after).limit(size)).all()
        more = size is not None and len(found) == size
        yield _Ids(found, more)
        if not more:
            return
        after = found[-1]


def _filters(query: Query) -> Iterator[ColumnElement[bool]]:
    yield batches.visible(trace.c.batch_id)
    if query.project is not None:
        in_project = and_(project_trace.c.project_id == query.project, project_trace.c.trace_id == trace.c.id)
        yield exists().where(in_project)
    if query.model:
        yield trace.c.model == query.model
    if query.outcome is not None:
        yield trace.c.outcome == query.outcome
    if query.filter:
        yield trace_conditions.clause(query.filter)
    if query.trace is not None:
        yield trace.c.id == query.trace
    if query.flagged:
        yield exists().where(
            flag.c.trace_id == trace.c.id,
            flag.c.category == query.flagged,
            flag.c.state.not_in(("rejected", "withdrawn")),
            flags.counts(),
        )
    if query.score_below is not None or query.scorer is not None:
        scored = [score.c.trace_id == trace.c.id, batches.visible(score.c.batch_id)]
        if query.score_below is not None:
            scored.append(score.c.low < query.score_below)
        if query.scorer is not None:
            scored.append(score.c.scorer_id == query.scorer)
        yield exists().where(*scored)


@dataclass(frozen=True, slots=True)
class _Read:
    trace_id: int
    hits: Hits | None
    too_slow: bool = False


def _read(
    c: Connection, ids: Sequence[int], query: Query, pattern: Pattern, check: Callable[[], None]
) -> Iterator[_Read]:
    texts = (
        select(trace.c.id, trace.c.text, problem.c.prompt)
        .join(problem, problem.c.id == trace.c.problem_id)
        .where(trace.c.id.in_(ids))
        .order_by(trace.c.id)
    )
    rows = c.execute(texts).all()
    for at in range(0, len(rows), TOGETHER):
        yield from _read_some(c, rows[at : at + TOGETHER], query, pattern, check)


def _read_some(
    c: Connection, rows: Sequence[Any], query: Query, pattern: Pattern, check: Callable[[], None]
) -> Iterator[_Read]:
    """Where all of a text is asked for, most have no span and need not be taken apart to know it."""
    found: dict[int, list[list[Found]] | None] = {}  # None: it takes too long
    asked = [row.id for row in rows]
    if _everywhere(query):
        for row in rows:
            check()
            everything = ((row.prompt, (Found(0, len(row.prompt)),)), (row.text, (Found(0, len(row.text)),)))
            found[row.id] = _in_time(pattern, everything)
        asked = [row.id for row in rows if any(found[row.id] or ())]
    turns = _turns(c, asked) if asked else {}
    for row in rows:
        check()
        stretches: Sequence[_Stretch] = ()
        if row.id not in found or any(found[row.id] or ()):
            stretches = _within(row.text, row.prompt, turns.get(row.id, ()), query)
        if row.id not in found:
            asked_for = tuple(Found(s.start, s.end) for s in stretches if s.place is Place.PROBLEM)
            said = tuple(Found(s.start, s.end) for s in stretches if s.place is not Place.PROBLEM)
            found[row.id] = _in_time(pattern, ((row.prompt, asked_for), (row.text, said)))
        spans = found[row.id]
        yield _Read(row.id, _hits(row.id, row.text, row.prompt, stretches, spans or ((), ())), spans is None)


def _in_time(pattern: Pattern, texts: Sequence[tuple[str, Sequence[Found]]]) -> list[list[Found]] | None:
    """The spans in the texts of a trace; None where the expression takes too long."""
    try:
        return pattern.spans_of(texts, most=MOST_SPANS + 1)
    except TooSlowError:
        return None


def _everywhere(query: Query) -> bool:
    return not query.role and query.stretch is None and query.places in (EVERYWHERE, frozenset())


@dataclass(frozen=True, slots=True)
class _Stretch:
    place: Place
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Turn:
    role: str
    blocks: tuple[tuple[str, int, int], ...]


def _turns(c: Connection, ids: Sequence[int]) -> dict[int, list[_Turn]]:
    found: dict[int, list[_Turn]] = {}
    columns = select(message.c.trace_id, message.c.role, message.c.blocks)
    for row in c.execute(columns.where(message.c.trace_id.in_(ids)).order_by(message.c.trace_id, message.c.ordinal)):
        blocks = tuple((str(kind), int(start), int(end)) for kind, start, end in row.blocks)
        found.setdefault(row.trace_id, []).append(_Turn(row.role, blocks))
    return found


def _within(text: str, prompt: str, turns: Sequence[_Turn], query: Query) -> list[_Stretch]:
    """The stretches of the places and the role that the query asks for."""
    places = query.places or EVERYWHERE
    if query.stretch is not None:
        first, last = query.stretch
        whole = _within(text, prompt, turns, replace(query, places=places - {Place.PROBLEM}, stretch=None))
        cut = (_Stretch(each.place, max(each.start, first), min(each.end, last)) for each in whole)
        return [each for each in cut if each.start < each.end]
    found = [_Stretch(Place.PROBLEM, 0, len(prompt))] if Place.PROBLEM in places and not query.role else []
    for turn in turns or (_Turn("assistant", (("", 0, len(text)),)),):
        if query.role and turn.role != query.role:
            continue
        for kind, start, end in turn.blocks:
            found.extend(s for s in _places(text, kind, start, end, alone=len(turns) <= 1) if s.place in places)
    return found


def _places(text: str, kind: str, start: int, end: int, *, alone: bool) -> Iterator[_Stretch]:
    """A block's place. A response that was stored whole is split at its marks of thinking."""
    if kind and not (alone and kind == BlockKind.ANSWER):
        yield _Stretch(_PLACE_OF.get(BlockKind(kind), Place.OTHER), start, end)
        return
    thought = split_thinking(text[start:end])
    if thought.thinking is not None:
        yield _Stretch(Place.THINKING, start + thought.thinking.start, start + thought.thinking.end)
    yield _Stretch(Place.ANSWER, start + thought.answer.start, start + thought.answer.end)


def _hits(
    trace_id: int, text: str, prompt: str, stretches: Sequence[_Stretch], found: Sequence[Sequence[Found]]
) -> Hits | None:
    """What was found in one trace; where all of it was asked for, spans may go over the ends of its blocks."""
    in_prompt, in_text = found
    if not in_prompt and not in_text:
        return None
    said = [s for s in stretches if s.place is not Place.PROBLEM]
    shown = [Span(Place.PROBLEM, s.start, s.end) for s in in_prompt[:MOST_SPANS]]
    shown += [Span(_place(said, s), s.start, s.end) for s in in_text[: MOST_SPANS - len(shown)]]
    return Hits(trace_id, tuple(shown), len(in_prompt) + len(in_text) > len(shown), _snippet(text, prompt, shown[0]))


def _place(said: Sequence[_Stretch], span: Found) -> Place:
    """The place that holds the span whole."""
    at = bisect.bisect_right(said, span.start, key=lambda s: s.start) - 1
    return said[at].place if at >= 0 and span.end <= said[at].end else Place.OTHER


def _snippet(text: str, prompt: str, first: Span) -> str:
    source = prompt if first.place is Place.PROBLEM else text
    start, end = max(0, first.start - AROUND), min(len(source), first.end + AROUND)
    before, after = "…" if start else "", "…" if end < len(source) else ""
    marked = f"{find.MARK_START}{source[first.start : first.end]}{find.MARK_END}"
    return f"{before}{source[start : first.start]}{marked}{source[first.end : end]}{after}"
