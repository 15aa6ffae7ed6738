"""The evidence panel: what scorers and people said of the current step, and the history of the trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QIcon, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from studio.exchange.foreign_export import Standing
from studio.render.prose import visible
from studio.store import segmentations
from studio.store.flags import Flag
from studio.ui.context import Context
from studio.ui.dialogs import plain_tip
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.opened import Moment, Opened, Source, Voice
from studio.ui.inspect.transcript_painter import TITLES
from studio.ui.widgets import faces
from studio.ui.widgets.parts import duration, plural
from studio.ui.widgets.score_strip import summary
from studio.ui.widgets.step_model import WORDS
from trainer.contract.records import FinishReason, Rating

SHOWN_HISTORY = 200
VALUES_WIDTH = 104
VALUES_SHARE, MOST_SHARE = 0.44, 0.62  # of the panel; the more the longer the words that cannot be broken
SHOWN_ANSWER, LONGEST_VALUE = 160, 4_000  # letters; pixels
FINISHES = {
    FinishReason.FOUND_ERROR: "found an error",
    FinishReason.SOLUTION: "rated all steps",
    FinishReason.GIVE_UP: "gave up",
    FinishReason.BAD_PROBLEM: "bad problem",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the panel."""

    name: str
    value: str
    rating: Rating | None = None
    hatched: bool = False
    tip: str = ""
    span: tuple[int, int] | None = None  # where in the text it stands: a click goes there
    warns: bool = False


SPAN_ROLE, STEP_ROLE = int(Qt.ItemDataRole.UserRole), int(Qt.ItemDataRole.UserRole) + 1


class EvidencePanel(QTreeWidget):
    """Sections of facts: the result, this step, scores, flags, annotations, history.

    Signals:
        spanChosen(int, int): show these code points.
    """

    spanChosen = Signal(int, int)

    def __init__(self, context: Context, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme = context.theme
        self._theme = theme
        self._opened: Opened | None = None
        self._ordinal: int | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._fill_step)
        cursor.moved.connect(self._on_moved)
        self._closed: set[str] = set()
        self._values: tuple[str, ...] = ()
        self._icons: dict[Rating, QIcon] = {}
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIndentation(theme.px(6))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(True)
        self.setUniformRowHeights(False)
        self.setAccessibleName(self.tr("Evidence"))
        self.setObjectName("evidence")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("#evidence { border: none; background: transparent; }")
        self.setMinimumWidth(theme.px(230))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.header().setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        self._fit_values()
        self.header().setStretchLastSection(False)
        self.itemClicked.connect(self._on_chosen)
        self.itemActivated.connect(self._on_chosen)
        self.itemExpanded.connect(lambda item: self._closed.discard(item.text(0)))
        self.itemCollapsed.connect(lambda item: self._closed.add(item.text(0)))
        theme.switched.connect(self._on_theme_switched)

    def sizeHint(self) -> QSize:
        """A column beside the transcript."""
        return QSize(self._theme.px(270), self._theme.px(300))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Values take their share of the width."""
        super().resizeEvent(event)
        self._fit_values()
        self._wrap_values()

    def _fit_values(self) -> None:
        metrics, whole = QFontMetricsF(self._theme.font(9.5)), self.viewport().width()
        words = (word for value in self._values for word in value.split())
        wide = max((metrics.horizontalAdvance(word) for word in words), default=0.0) + self._theme.px(10)
        share = min(max(wide, VALUES_SHARE * whole), MOST_SHARE * whole)
        self.header().resizeSection(1, max(self._theme.px(VALUES_WIDTH), int(share)))

    def _wrap_values(self) -> None:
        """Long values take as many lines as they need: Qt asks for one, however long it is."""
        metrics, wide = QFontMetricsF(self._theme.font(9.5)), self.header().sectionSize(1) - self._theme.px(8)
        room = QRectF(0, 0, wide, LONGEST_VALUE)
        for head in (self.topLevelItem(place) for place in range(self.topLevelItemCount())):
            for item in (head.child(place) for place in range(head.childCount())) if head is not None else ():
                value = "" if item is None else item.text(1)
                if item is None or "\n" in value or metrics.horizontalAdvance(value) <= wide:
                    continue
                high = metrics.boundingRect(room, int(Qt.TextFlag.TextWordWrap), value).height()
                item.setSizeHint(1, QSize(0, int(high) + self._theme.px(8)))

    def show_trace(self, opened: Opened | None) -> None:
        """Show another trace."""
        self._opened = opened
        self._fill()

    def _on_moved(self, position: Position) -> None:
        ordinal = position.step if position.step >= 0 else None
        if ordinal != self._ordinal:
            self._ordinal = ordinal
            self._soon.start()  # once, however many steps a replay passes before the next paint

    def facts(self) -> tuple[tuple[str, tuple[Fact, ...]], ...]:
        """The sections with their facts."""
        opened = self._opened
        if opened is None:
            return ()
        result = tuple(_result(opened))
        sections = [*([("Result", result)] if result else []), self._step_facts()]
        if opened.flags:
            sections.append(("Flags", tuple(_flag(flag) for flag in opened.flags)))
        if opened.lines:
            sections.append(("Scorers", tuple(_scorers(opened))))
        sections.append(("Annotations", tuple(_annotation(voice) for voice in opened.voices) or (_NOBODY,)))
        if opened.history:
            sections.append(("History", tuple(_moment(moment) for moment in opened.history[:SHOWN_HISTORY])))
        sections.append(("Trace", tuple(_trace(opened))))
        return tuple(sections)

    def _step_facts(self) -> tuple[str, tuple[Fact, ...]]:
        opened = self._opened
        assert opened is not None
        if self._ordinal is None or self._ordinal >= opened.count:
            return "No step here", ()
        return f"Step {self._ordinal + 1:,} of {opened.count:,}", tuple(_of_step(opened, self._ordinal))

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _fill_step(self) -> None:
        """The section of the step alone."""
        heads = (self.topLevelItem(place) for place in range(self.topLevelItemCount()))
        head = next((each for each in heads if each is not None and each.data(0, STEP_ROLE)), None)
        if self._opened is None or head is None:
            return
        self.setUpdatesEnabled(False)
        name, facts = self._step_facts()
        head.setText(0, name)
        head.takeChildren()
        for fact in facts:
            self._line(head, fact)
        self.setUpdatesEnabled(True)

    def _fill(self) -> None:
        self.setUpdatesEnabled(False)
        place = self.verticalScrollBar().value()
        self.blockSignals(True)
        self.clear()
        sections = self.facts()
        self._values = tuple(fact.value for _, facts in sections for fact in facts)
        self._fit_values()
        for name, facts in sections:
            self._section(name, facts)
        self._wrap_values()
        self.blockSignals(False)
        self.verticalScrollBar().setValue(place)
        self.setUpdatesEnabled(True)

    def _section(self, name: str, facts: Iterable[Fact]) -> None:
        head = QTreeWidgetItem(self, [name])
        head.setFont(0, self._theme.font(9.2, QFont.Weight.DemiBold))
        head.setForeground(0, self._theme.colours.q("secondary"))
        head.setFirstColumnSpanned(True)
        head.setFlags(Qt.ItemFlag.ItemIsEnabled)
        head.setData(0, STEP_ROLE, name.startswith(("Step ", "No step")))
        for fact in facts:
            self._line(head, fact)
        head.setExpanded(name.split(" ")[0] not in {closed.split(" ")[0] for closed in self._closed})

    def _line(self, head: QTreeWidgetItem, fact: Fact) -> None:
        item = QTreeWidgetItem(head, [fact.name, fact.value])
        item.setFont(0, self._theme.font(9.5))
        item.setFont(1, self._theme.font(9.5))
        item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        item.setData(
            0, Qt.ItemDataRole.AccessibleTextRole, f"{fact.name}: {fact.value}" + (f", {fact.tip}" if fact.tip else "")
        )
        if fact.rating is not None:
            item.setIcon(0, self._icon(fact.rating))
            item.setForeground(1, self._theme.colours.rating(fact.rating))
        if fact.warns:
            item.setForeground(1, self._theme.colours.q("unsure"))
            item.setFont(1, self._theme.font(9.5, QFont.Weight.DemiBold))
        if fact.hatched:
            item.setBackground(1, QBrush(self._theme.colours.q("border"), Qt.BrushStyle.BDiagPattern))
            item.setForeground(1, self._theme.colours.q("secondary"))
        if not fact.value:
            item.setFirstColumnSpanned(True)
        if fact.span is not None:
            item.setData(0, SPAN_ROLE, fact.span)
        for column in range(2):
            item.setToolTip(column, plain_tip(fact.tip or f"{fact.name}: {fact.value}" * bool(fact.value)))

    def _on_chosen(self, item: QTreeWidgetItem) -> None:
        span = item.data(0, SPAN_ROLE)
        if span is not None:
            self.spanChosen.emit(*span)

    def _icon(self, value: Rating) -> QIcon:
        if value not in self._icons:
            size = self._theme.px(16)
            ratio = self.devicePixelRatioF()
            pixmap = QPixmap(round(size * ratio), round(size * ratio))
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(QColor(0, 0, 0, 0))
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            colours = self._theme.colours
            faces.draw(
                painter, QRectF(0, 0, size, size), value, fill=colours.rating(value), line=colours.q("on_rating")
            )
            painter.end()
            self._icons[value] = QIcon(pixmap)
        return self._icons[value]

    def _on_theme_switched(self) -> None:
        self._icons.clear()
        self._fit_values()
        self._fill()


_NOBODY = Fact("nobody has rated this trace", "")


def _of_step(opened: Opened, ordinal: int) -> Iterable[Fact]:
    for voice in opened.voices:
        rating = voice.values[ordinal]
        if rating is not None:
            name = f"{voice.name} (you)" if voice.mine else voice.name
            yield Fact(name, WORDS[rating] + (", unsure" if voice.unsure[ordinal] else ""), rating)
    for line in opened.lines:
        value = line.values[ordinal]
        if value is not None:
            yield Fact(line.name, f"{value:.3f}", hatched=bool(line.note), tip=line.note)
    yield from _tokens(opened, ordinal)
    if opened.is_disputed(ordinal):
        yield Fact("△ disputed", "", tip="people contradict each other, or the first scorer contradicts them")
    yield _place(opened, ordinal)


def _place(opened: Opened, ordinal: int) -> Fact:
    """What the step is part of, and how long it is: known of every step."""
    shape = opened.structure
    start, end = int(shape.step_starts[ordinal]), int(shape.step_ends[ordinal])
    block, turn = shape.block_at(start), shape.turn_at(start)
    kind = TITLES[shape.blocks[block].kind].split(":")[0] if block >= 0 else "text"
    where = f"{kind}, turn {turn + 1}" if shape.is_conversation else kind
    second = opened.clock.time_at(start)
    tip = f"begins {duration(second)} into the trace (clock: {opened.clock.kind.value})"
    return Fact("part of", f"{where}\n{plural(end - start, 'character')}", tip=tip)


def _tokens(opened: Opened, ordinal: int) -> Iterable[Fact]:
    tokens = opened.tokens
    if tokens is None:
        return
    step = opened.trace.segmentation.steps[ordinal]
    first, last = np.searchsorted(tokens.starts, [step.start, step.end])
    if first == last:
        return
    yield Fact("tokens", f"{last - first:,}")
    for name, values in (("mean log-probability", tokens.logprob), ("mean entropy", tokens.entropy)):
        known = np.zeros(0, np.float32) if values is None else values[first:last]
        known = known[~np.isnan(known)]
        if len(known):
            yield Fact(name, f"{known.mean(dtype=np.float64):.3f} nats", tip="mean over the tokens of the step")


def _flag(flag: Flag) -> Fact:
    words = f"{flag.category.value}: “{visible(flag.quote[:80])}{'…' if len(flag.quote) > 80 else ''}”"
    tip = "\n".join(part for part in (flag.why, f"by {flag.monitor or 'a person'}, severity {flag.severity}") if part)
    return Fact(words, flag.state.value, tip=tip, span=(flag.start, flag.end))


def _scorers(opened: Opened) -> Iterable[Fact]:
    for line in opened.lines:
        tip = "; ".join(part for part in (line.note, f"version {line.version[:12]}" if line.version else "") if part)
        yield Fact(line.name, summary(line).replace(" · ", "\n"), hatched=bool(line.note), tip=tip)


def _annotation(voice: Voice) -> Fact:
    annotation = voice.annotation
    name = f"{voice.name} (you)" if voice.mine else voice.name
    what = "not submitted" if annotation.finish_reason is None else FINISHES[annotation.finish_reason]
    parts = [what]
    if annotation.first_negative is not None:
        parts.append(f"first error {annotation.first_negative + 1}")
    if annotation.total_time_ms:
        parts.append(f"{annotation.total_time_ms / 1000:.0f} s")
    if voice.stale:
        parts.append("for an older version of the steps")
    tips = [visible(text) for text in (annotation.reason, annotation.comment) if text]
    if tips:
        parts.append("“" + "” “".join(tips) + "”")
    return Fact(name, "\n".join(parts), tip=f"revision {annotation.revision}")


def _moment(moment: Moment) -> Fact:
    entry = moment.entry
    role = {"undo": "took back ", "redo": "did again "}.get(entry.role, "")
    given = entry.new.get("rating") if entry.verb == "rate" else None
    rating = Rating(given["value"]) if given and given.get("value") is not None else None
    what = f"{role}{entry}".replace("rating of ", "")
    return Fact(what, moment.name, rating, tip=f"{moment.at[:10]} {moment.at[11:19]} UTC, by {moment.name}")


def _file(source: Source) -> Fact:
    """Whether the file that the trace came from is still what it was."""
    whole = source.standing in (Standing.COPIED, Standing.IN_PLACE)
    remedy = "" if whole else "\nThe trace itself is kept whole: export it with --format original --from-tables."
    tip = f"{visible(source.path)}\nsha256 {source.sha256}{remedy}"
    return Fact("source file", source.standing.value, tip=tip, warns=not whole)


def _result(opened: Opened) -> Iterable[Fact]:
    """Right or wrong, what was answered, and what was asked for."""
    trace = opened.trace
    said = (("answer", trace.answer), ("reference", trace.problem.reference_answer))
    if trace.outcome is not None:
        yield Fact("outcome", "✓ right" if trace.outcome else "✗ wrong", warns=not trace.outcome)
    elif any(value for _, value in said):
        yield Fact("outcome", "not graded")
    for name, value in said:
        if value:
            words = visible(value)
            cut = words if len(words) <= SHOWN_ANSWER else f"{words[: SHOWN_ANSWER - 1]}…"
            yield Fact(name, cut, tip=words if cut != words else "")


def _trace(opened: Opened) -> Iterable[Fact]:
    trace = opened.trace
    if trace.id > 0:
        yield Fact("number", str(trace.id), tip=trace.uid)
    said = opened.conversation
    for name, value in (("log", said.log), ("sample", said.sample), ("epoch", said.epoch)):
        if value not in ("", None):
            yield Fact(name, visible(str(value)))
    if opened.source is not None:
        yield _file(opened.source)
    if opened.projects:
        yield Fact("project", "\n".join(opened.projects))
    if trace.model:
        yield Fact("model", trace.model)
    if cut := segmentations.in_words(trace.segmentation.method):
        yield Fact("steps", f"{opened.count:,} · {cut}")
    if trace.problem.source:
        yield Fact("source", trace.problem.source)
