"""The panel Flags: the verdict of the trace and why, every flag with its quote, and what can be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.domain import Changes, Topic
from studio.errors import ConflictError
from studio.helpers import looking
from studio.render.prose import visible
from studio.store import flag_words, flags, monitors, reviewing, thresholds
from studio.store.flag_words import NewFlag, Reviewed
from studio.store.flags import Flag, FlagState
from studio.store.monitors import Scores
from studio.store.reviewing import Checked
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.flag_dialog import FlagDialog
from studio.ui.inspect.opened import Opened
from studio.ui.widgets.parts import Quiet, button, plural
from trainer.contract.records import InputRow
from trainer.reasoning.safety import CATEGORIES, VERDICTS, Gap, Thresholds, Verdict
from trainer.reasoning.segment import Span

ID_ROLE = int(Qt.ItemDataRole.UserRole)
QUOTED = 160
SIGNS = {Verdict.ALLOW: "✓", Verdict.NOT_ASSESSABLE: "?", Verdict.REVIEW: "⚠", Verdict.BLOCK: "■"}
ROLES = {Verdict.ALLOW: "good", Verdict.NOT_ASSESSABLE: "warning", Verdict.REVIEW: "warning", Verdict.BLOCK: "error"}
STATES = {FlagState.OPEN: "open", FlagState.CONFIRMED: "✓ confirmed", FlagState.REJECTED: "✗ rejected"}
STATES |= {FlagState.UNSURE: "? unsure"}
NOBODY = "No monitor has looked at this trace, which says nothing of it."
COMMANDS = ("flag_step", "check_trace", "confirm_this_flag", "reject_this_flag", "mark_clean")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a trace: its flags, and what the monitors that count gave it."""

    trace_id: int
    flags: tuple[Flag, ...]
    scored: Scores
    thresholds: Thresholds

    @property
    def verdict(self) -> Verdict | None:
        """Under the thresholds in force; None while no monitor has looked."""
        return VERDICTS[int(self.scored.verdicts(self.thresholds)[0])] if len(self.scored) else None

    @property
    def why(self) -> str:
        """What the verdict rests on."""
        if not len(self.scored):
            return NOBODY
        told = []
        for category in CATEGORIES:
            score, limits = float(self.scored.scores[0, category.place]), self.thresholds[category]
            blocks = limits.block is not None and score >= limits.block
            if blocks or score >= limits.review:
                limit = limits.block if blocks and limits.block is not None else limits.review
                told.append(f"{category.value}: {score:.2f}, {'block' if blocks else 'review'} from {limit:.2f}")
        gap = self.scored.gap_of(0)
        if gap is not Gap.NONE:
            told.append(f"cannot be assessed whole: {gap.value}")
        return "\n".join(told) or "no score reaches its threshold; that proves nothing"


class FlagsPanel(QWidget):
    """Flags of the trace on screen.

    Signals:
        spanChosen(int, int): show these code points.
    """

    spanChosen = Signal(int, int)
    _looked = Signal(int, object)

    def __init__(self, context: Context, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._cursor = context, cursor
        self._opened: Opened | None = None
        self._thresholds: Thresholds | None = None
        self.known: Known | None = None
        self.dialog: FlagDialog | None = None
        self.verdict, self.why = QLabel("", self), Quiet("", self)
        self.list = QListWidget(self)
        self.detail = Quiet("", self)
        self.other = button("Show what it clashes with", self._on_other, parent=self)
        run = context.actions.run
        self.confirm = button("Confirm", partial(run, "confirm_this_flag"), tip="It is there", parent=self)
        self.reject = button("Reject", partial(run, "reject_this_flag"), tip="It is not there", parent=self)
        self.flag = button("Flag step…", partial(run, "flag_step"), tip="The current step", parent=self)
        self.check = button("Check", partial(run, "check_trace"), tip="Exact checks, without a model", parent=self)
        self.clean = button("Clean", partial(run, "mark_clean"), tip="It holds nothing of any category", parent=self)
        self._lay_out()
        self._connect()

    @property
    def chosen(self) -> Flag | None:
        """The flag chosen in the list."""
        item = self.list.currentItem()
        wanted = None if item is None else item.data(ID_ROLE)
        found = () if self.known is None else self.known.flags
        return next((flag for flag in found if flag.id == wanted), None)

    def show_trace(self, opened: Opened | None) -> None:
        """Show another trace, or the same one anew."""
        self._opened = opened
        stored = opened is not None and opened.trace.id > 0
        for id in COMMANDS:
            self._context.actions.enable(id, stored)
        if opened is None or not stored:
            self._fill(None)
            return
        if self.known is not None and self.known.trace_id != opened.trace.id:
            self._fill(None)
        self._read(opened.trace.id)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, trace_id: int) -> None:
        held = self._thresholds
        self._context.background.read(self, lambda c: _known(c, trace_id, held), self._on_known)

    def _on_known(self, known: Known) -> None:
        self._thresholds = known.thresholds
        if self._opened is not None and self._opened.trace.id == known.trace_id:
            self._fill(known)

    def _fill(self, known: Known | None) -> None:
        before = self.chosen
        self.known = known
        self.list.blockSignals(True)
        self.list.clear()
        for flag in () if known is None else known.flags:
            item = QListWidgetItem(_line(flag), self.list)
            item.setData(ID_ROLE, flag.id)
            item.setToolTip(flag.category.definition)
            if before is not None and before.id == flag.id:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        verdict = None if known is None else known.verdict
        self.verdict.setText("not looked at" if verdict is None else f"{SIGNS[verdict]} {verdict.value}")
        set_role(self.verdict, "quiet" if verdict is None else ROLES[verdict])
        self.why.setText("" if known is None else known.why)
        self._show_chosen()

    def _show_chosen(self) -> None:
        flag = self.chosen
        for widget in (self.confirm, self.reject):
            widget.setEnabled(flag is not None)
        self.other.setVisible(flag is not None and flag.counterpart is not None)
        self.detail.setVisible(flag is not None)
        if flag is not None:
            who = f"by {flag.monitor or 'a person'}, {flag.score:.2f}"
            told = (who, visible(flag.why), f"said: {visible(flag.reason)}" if flag.reason else "")
            self.detail.setText("\n".join(part for part in told if part))

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.MONITORS, Topic.FLAGS):
            self._thresholds = None
            opened = self._opened
            if opened is not None and opened.trace.id > 0 and self.isVisible():
                self._read(opened.trace.id)

    # -- doing --------------------------------------------------------------------------------------------------------

    def _on_chosen(self, item: QListWidgetItem) -> None:
        flag = self.chosen
        if flag is not None:
            self.spanChosen.emit(flag.start, flag.end)

    def _on_other(self) -> None:
        flag = self.chosen
        if flag is not None and flag.counterpart is not None:
            self.spanChosen.emit(flag.counterpart.start, flag.counterpart.end)

    def _review(self, state: FlagState) -> None:
        flag, me = self.chosen, self._context.annotator.id
        if flag is None:
            self._context.say("choose a flag of the panel Flags first")
            return
        self._context.background.write(self, lambda c: flag_words.review(c, flag.id, state, me), self._on_said)

    def _on_said(self, reviewed: Reviewed) -> None:
        self._context.say(str(reviewed.flag.state.value if reviewed.flag is not None else "called clean"))

    def _mark_clean(self) -> None:
        opened, me = self._opened, self._context.annotator.id
        if opened is not None:
            trace_id = opened.trace.id
            self._context.background.write(
                self, lambda c: flag_words.mark_clean(c, trace_id, me), self._on_said, self._on_refused
            )

    def _on_refused(self, error: Exception) -> None:
        if isinstance(error, ConflictError):
            self._context.say(str(error))
        else:
            self._context.fail(error)

    def _flag_step(self) -> None:
        opened, step = self._opened, self._cursor.position.step
        if opened is None or not 0 <= step < opened.count:
            self._context.say("no step is current: move to one with j or k")
            return
        shape = opened.structure
        span = Span(int(shape.step_starts[step]), int(shape.step_ends[step]))
        self.dialog = FlagDialog(opened.trace.id, opened.trace.text, span, self)
        self.dialog.flagged.connect(self._on_flagged)
        self.dialog.open()

    def _on_flagged(self, new: NewFlag) -> None:
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: flag_words.add(c, new, me), self._on_said)

    # -- the check of one trace ---------------------------------------------------------------------------------------

    def _check(self) -> None:
        opened = self._opened
        if opened is not None:
            trace_id = opened.trace.id
            self.check.setEnabled(False)
            self._context.background.read(
                self, lambda c: reviewing.row_of(c, trace_id), partial(self._ask, trace_id), self._on_check_failed
            )

    def _ask(self, trace_id: int, row: InputRow) -> None:
        self._context.helpers.submit(looking.TARGET, row, partial(self._looked.emit, trace_id))

    def _on_looked(self, trace_id: int, look: object) -> None:
        if not isinstance(look, looking.Look):
            error = look if isinstance(look, Exception) else TypeError(f"the checks returned {type(look).__name__}")
            self._on_check_failed(error)
            return
        self._context.background.write(
            self,
            lambda c: reviewing.store_check(c, trace_id, look.found, look.scored),
            partial(self._on_checked, look.scored.gap),
            self._on_check_failed,
        )

    def _on_checked(self, gap: str, done: Checked) -> None:
        self.check.setEnabled(True)
        found = plural(done.findings, "finding") if done.findings else "nothing found"
        hidden = f"; not assessable as a whole: {gap}" if gap else ""
        self._context.say(f"exact checks: {found}{', as before' if done.known else ''}{hidden}")

    def _on_check_failed(self, error: Exception) -> None:
        self.check.setEnabled(True)
        self._context.fail(error)

    def _connect(self) -> None:
        self._looked.connect(self._on_looked, Qt.ConnectionType.QueuedConnection)
        on = self._context.actions.on
        on("flag_step", self._flag_step)
        on("check_trace", self._check)
        on("confirm_this_flag", partial(self._review, FlagState.CONFIRMED))
        on("reject_this_flag", partial(self._review, FlagState.REJECTED))
        on("mark_clean", self._mark_clean)
        self.list.itemClicked.connect(self._on_chosen)
        self.list.itemActivated.connect(self._on_chosen)
        self.list.currentItemChanged.connect(lambda *_: self._show_chosen())
        self._context.background.changed.connect(self._on_changed)

    def _lay_out(self) -> None:
        theme = self._context.theme
        self.list.setAccessibleName("Flags of this trace")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verdict.setAccessibleName("Verdict of this trace")
        self.setMinimumWidth(theme.px(230))
        font = self.verdict.font()
        font.setBold(True)
        self.verdict.setFont(font)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 8, 6, 6)
        column.setSpacing(6)
        for widget in (self.verdict, self.why):
            column.addWidget(widget)
        column.addWidget(self.list, 1)
        column.addWidget(self.detail)
        column.addWidget(self.other)
        for pair in ((self.confirm, self.reject), (self.flag, self.check, self.clean)):
            row = QHBoxLayout()
            row.setSpacing(6)
            for each in pair:
                each.setStyleSheet("QPushButton { padding-left: 8px; padding-right: 8px; }")
                row.addWidget(each)
            row.addStretch(1)
            column.addLayout(row)
        self._fill(None)


def _known(c: Connection, trace_id: int, held: Thresholds | None) -> Known:
    current = thresholds.current(c) if held is None else held
    return Known(trace_id, flags.of_trace(c, trace_id), monitors.scores(c, trace_id=trace_id), current)


def _line(flag: Flag) -> str:
    quote = " ".join(visible(flag.quote[:QUOTED]).split())
    more = "…" if len(flag.quote) > QUOTED else ""
    grave = "●" * flag.severity + "○" * (3 - flag.severity)
    return f"{flag.category.value}  {grave}  {STATES[flag.state]}\n“{quote}{more}”"
