"""What a report says of a trace: its turns, blocks and steps with scores, ratings and flags, masked where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from studio.domain import Trace
from studio.exchange.redaction import Redaction
from studio.store import bookmarks, conversations, flags, scores, traces
from studio.store.annotations import of_trace as annotations_of
from studio.store.bookmarks import Bookmark
from studio.store.conversations import Budget, Turn
from studio.store.flags import Flag, FlagState
from trainer.contract.records import Block

LEAST_COPIED = 8  # characters of a field that is looked up in the trace's text; "4" stands anywhere


@dataclass(frozen=True, slots=True)
class ToldStep:
    """A step with what is known of it. `ordinal` None: text between steps."""

    ordinal: int | None
    text: str
    scores: tuple[tuple[str, float], ...] = ()
    ratings: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToldBlock:
    """A block of a turn; kind "markup" for what stands between blocks."""

    kind: str
    steps: tuple[ToldStep, ...]

    @property
    def text(self) -> str:
        """The block's whole text."""
        return "".join(step.text for step in self.steps)


@dataclass(frozen=True, slots=True)
class ToldTurn:
    """One message."""

    role: str
    name: str
    at: str
    until: str
    blocks: tuple[ToldBlock, ...]


@dataclass(frozen=True, slots=True)
class ToldFlag:
    """A finding with its quote."""

    category: str
    severity: int
    state: str
    quote: str
    why: str
    monitor: str


@dataclass(frozen=True, slots=True)
class ToldBookmark:
    """A stretch that somebody marked."""

    quote: str
    comment: str
    tags: tuple[str, ...]
    author: str


@dataclass(frozen=True, slots=True)
class ToldTrace:
    """Everything a report says of one trace."""

    id: int
    uid: str
    prompt: str
    reference: str | None
    model: str
    answer: str | None
    outcome: int | None
    place: str
    budget: Budget
    turns: tuple[ToldTurn, ...]
    flags: tuple[ToldFlag, ...]
    bookmarks: tuple[ToldBookmark, ...] = ()


def read(
    c: Connection, ids: Sequence[int], redaction: Redaction | None = None, check: Callable[[], None] = lambda: None
) -> Iterator[ToldTrace]:
    """The traces of these ids, in that order; ids that nobody may see are left out."""
    asked = Redaction() if redaction is None else redaction
    for trace_id in ids:
        check()
        for trace in traces.load_many(c, (trace_id,)):
            made = _told(c, trace, asked)
            words = {name: value for name, value in asdict(made).items() if name != "uid"}  # a hash, nobody's words
            blocks = [block.text for turn in made.turns for block in turn.blocks if block.kind != "markup"]
            asked.prove((*_texts(words), "".join(blocks)), f"trace {trace_id}")
            yield made


def matched(c: Connection, ids: Sequence[int], redaction: Redaction) -> Redaction:
    """The redaction with all that its expressions match in these traces, so that no trace shows another's secret."""
    if redaction.is_empty:
        return redaction
    for trace_id in ids:
        for trace in traces.load_many(c, (trace_id,)):
            talk = conversations.read(c, trace.id)
            spans = _blocks(conversations.turns_of(trace.text, talk.turns or trace.messages))
            said = (
                trace.text,
                "".join(trace.text[start:end] for start, end in spans),
                trace.problem.prompt,
                trace.problem.reference_answer or "",
                trace.answer or "",
                trace.model,
                *(f"{talk.log} {talk.sample}".splitlines()),
                *(word for turn in talk.turns for word in (turn.name, turn.role)),
                *(flag.why for flag in flags.of_trace(c, trace.id)),
                *(word for mark in bookmarks.of_trace(c, trace.id) for word in (mark.comment, mark.author, *mark.tags)),
            )
            redaction = redaction.found_in(said)
    return redaction


def _told(c: Connection, trace: Trace, redaction: Redaction) -> ToldTrace:
    talk = conversations.read(c, trace.id)
    found = tuple(f for f in flags.of_trace(c, trace.id) if f.state is not FlagState.REJECTED)
    turns = conversations.turns_of(trace.text, talk.turns or trace.messages)
    hidden = replace(trace, text=redaction.mask_over(trace.text, _blocks(turns)))
    show = redaction.shown

    def clean(text: str | None) -> str:
        return show(redaction.mask(text or ""))

    def copied(text: str) -> str:
        """A field that repeats words of the trace, as they read there: half of what is split shows nowhere."""
        place = trace.text.find(text) if len(text) >= LEAST_COPIED else -1
        return clean(text if place < 0 else hidden.text[place : place + len(text)])

    steps = _steps(c, hidden, found, show, clean)
    reference = trace.problem.reference_answer
    return ToldTrace(
        id=trace.id,
        uid=trace.uid,
        prompt=copied(trace.problem.prompt),
        reference=None if reference is None else copied(reference),
        model=clean(trace.model),
        answer=None if trace.answer is None else copied(trace.answer),
        outcome=trace.outcome,
        place=clean(" › ".join(str(part) for part in (talk.log, talk.sample, talk.epoch) if part not in ("", None))),
        budget=replace(talk.budget, ended=clean(talk.budget.ended)),
        turns=tuple(_turn(hidden.text, turn, steps, clean, show) for turn in turns),
        flags=tuple(_flag(flag, hidden.text, trace.text, clean) for flag in found),
        bookmarks=tuple(_marked(mark, hidden.text, trace.text, clean) for mark in bookmarks.of_trace(c, trace.id)),
    )


def _blocks(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    """Where the blocks of all turns stand, in order: what is between them is markup."""
    return [(block.start, block.end) for turn in turns for block in turn.blocks]


def _texts(value: object) -> Iterator[str]:
    """Every text of a value made of dictionaries, lists and tuples."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    end: int
    step: ToldStep


def _steps(
    c: Connection, trace: Trace, found: Sequence[Flag], show: Callable[[str], str], clean: Callable[[str], str]
) -> list[_Place]:
    given = [s for s in scores.of_trace(c, trace.id) if s.segmentation_id == trace.segmentation.id]
    newest = {clean(scored.scorer): scored for scored in given}
    said: dict[int, list[int]] = {}
    for annotation in annotations_of(c, trace.id):
        for rating in annotation.ratings:
            if rating.option == 0 and rating.value is not None:
                said.setdefault(rating.ordinal, []).append(int(rating.value))
    places = []
    for at, step in enumerate(trace.segmentation.steps):
        values = tuple(
            (name, value)
            for name, scored in newest.items()
            if at < len(scored.values) and (value := scored.values[at]) is not None
        )
        names = tuple(f.category.value for f in found if f.start < step.end and step.start < f.end)
        text = show(trace.text[step.start : step.end])
        places.append(_Place(step.start, step.end, ToldStep(at, text, values, tuple(said.get(at, ())), names)))
    return places


def _turn(
    text: str, turn: Turn, steps: Sequence[_Place], clean: Callable[[str], str], show: Callable[[str], str]
) -> ToldTurn:
    blocks: list[ToldBlock] = []
    at = turn.start if turn.start is not None else (turn.blocks[0].start if turn.blocks else 0)
    for block in turn.blocks:
        if block.start > at:
            blocks.append(ToldBlock("markup", (ToldStep(None, show(text[at : block.start])),)))
        blocks.append(ToldBlock(block.kind.value, tuple(_pieces(text, block, steps, show))))
        at = block.end
    if turn.end is not None and turn.end > at:
        blocks.append(ToldBlock("markup", (ToldStep(None, show(text[at : turn.end])),)))
    return ToldTurn(clean(turn.role), clean(turn.name), clean(turn.at), clean(turn.until), tuple(blocks))


def _pieces(text: str, block: Block, steps: Sequence[_Place], show: Callable[[str], str]) -> Iterator[ToldStep]:
    """A block's steps and what stands between them; nothing of it is lost."""
    at = block.start
    for place in steps:
        if place.start < at or place.end > block.end:
            continue
        if place.start > at:
            yield ToldStep(None, show(text[at : place.start]))
        yield place.step
        at = place.end
    if at < block.end:
        yield ToldStep(None, show(text[at : block.end]))


def _flag(flag: Flag, hidden: str, text: str, clean: Callable[[str], str]) -> ToldFlag:
    """A flag with its quote as the masked text has it, so that half of a masked word does not show either."""
    stands = text[flag.start : flag.end] == flag.quote
    return ToldFlag(
        flag.category.value,
        flag.severity,
        flag.state.value,
        clean(hidden[flag.start : flag.end] if stands else flag.quote),
        clean(flag.why),
        clean(flag.monitor) or "a person",
    )


def _marked(mark: Bookmark, hidden: str, text: str, clean: Callable[[str], str]) -> ToldBookmark:
    """A bookmark as its span reads in the masked text, place for place; one whose quote is gone keeps its own words."""
    span = mark.span_in(text)
    quote = clean(mark.quote if span is None else span.of(hidden))
    return ToldBookmark(quote, clean(mark.comment), tuple(map(clean, mark.tags)), clean(mark.author))
