"""Rubrics: write what to look for, check it on examples, run its rule over all traces, open what it found."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.errors import FindError
from studio.store import rubrics
from studio.store.find_pattern import Mode
from studio.store.rubrics import Cluster, Draft, Example, Rubric, RubricHit
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.widgets.parts import GAP, MARGIN, button, plural

HIT_ROLE = int(Qt.ItemDataRole.UserRole)
MOST_CLUSTERS, MOST_HITS = 500, 200


class RubricDialog(QDialog):
    """The list of rubrics, the form of one, and its hits by cluster.

    Signals:
        spanWanted(int, int, int): show this trace with these code points marked.
    """

    spanWanted = Signal(int, int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.known: tuple[Rubric, ...] = ()
        self.current: int | None = None
        self.running = False
        self._stopped = False
        self.setWindowTitle("Rubrics")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(980, 640)
        self.list, self.found = QListWidget(), QTreeWidget()
        self.name, self.rule, self.mode = QLineEdit(), QLineEdit(), QComboBox()
        self.definition, self.positive, self.negative = QPlainTextEdit(), QPlainTextEdit(), QPlainTextEdit()
        self.state = QLabel()
        self.go = button("Save and run", self.run, primary=True, parent=self)
        self.stop = button("Cancel", self._stop, tip="What was found so far is kept", parent=self)
        self._lay_out()
        self.list.currentRowChanged.connect(self._on_row)
        self.found.itemActivated.connect(lambda item, _column: self._open(item))
        self.found.itemClicked.connect(lambda item, _column: self._open(item))
        self._read()

    def draft(self) -> Draft:
        """What the form says."""
        examples = [
            Example(positive, line.strip())
            for positive, box in ((True, self.positive), (False, self.negative))
            for line in box.toPlainText().splitlines()
            if line.strip()
        ]
        mode = Mode(self.mode.currentData())
        return Draft(self.name.text(), self.definition.toPlainText(), self.rule.text(), mode, examples=tuple(examples))

    def run(self) -> None:
        """Save, say which examples the rule gets wrong, and look through all traces off the GUI thread."""
        draft, current = self.draft(), self.current
        if self.running or not draft.text.strip():
            self.state.setText("A rule needs a text to find.")
            return
        try:
            wrong = rubrics.failing_examples(draft)
        except FindError as error:
            self.state.setText(str(error))
            return
        self._show_running(on=True)
        said = f" The rule gets {plural(len(wrong), 'example')} wrong: “{wrong[0].text}”." if wrong else ""

        def verb(c: Connection) -> Rubric:
            return rubrics.start(c, rubrics.save(c, draft, current))

        self._context.background.write(self, verb, partial(self._go_on, 0, 0, said), self._on_failed)

    # -- the pass -----------------------------------------------------------------------------------------------------

    def _go_on(self, after: int, count: int, said: str, rubric: Rubric) -> None:
        self.current = rubric.id
        self.state.setText(f"looking … {plural(count, 'hit')} so far.{said}")

        def read(c: Connection) -> tuple[list[RubricHit], int | None]:
            return rubrics.find(c, rubric.draft, after=after)

        self._context.background.read(self, read, partial(self._keep, count, said, rubric), self._on_failed)

    def _keep(self, count: int, said: str, rubric: Rubric, found: tuple[list[RubricHit], int | None]) -> None:
        hits, after = found
        total = count + len(hits)

        def done(_changes: object) -> None:
            if after is None or self._stopped:
                end = "stopped; " if after is not None else ""
                self._show_running(on=False)
                self.state.setText(f"{end}{plural(total, 'hit')}, every quote as it stands.{said}")
                self._read()
            else:
                self._go_on(after, total, said, rubric)

        self._context.background.write(self, lambda c: rubrics.store(c, rubric, hits), done, self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self._show_running(on=False)
        self.state.setText(str(error))

    def _stop(self) -> None:
        self._stopped = True

    def _show_running(self, *, on: bool) -> None:
        self.running, self._stopped = on, False
        self.go.setVisible(not on)
        self.stop.setVisible(on)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._context.background.read(self, rubrics.all_of, self._show)

    def _show(self, known: tuple[Rubric, ...]) -> None:
        self.known = known
        self.list.blockSignals(True)
        self.list.clear()
        for one in known:
            self.list.addItem(QListWidgetItem(f"{one.draft.name}  ·  {plural(one.traces, 'trace')}"))
        place = next((n for n, one in enumerate(known) if one.id == self.current), -1)
        self.list.setCurrentRow(place)
        self.list.blockSignals(False)
        if place >= 0:
            self._read_hits(known[place].id)

    def _on_row(self, place: int) -> None:
        if self.running or not 0 <= place < len(self.known):
            return
        one = self.known[place]
        self.current = one.id
        self.name.setText(one.draft.name)
        self.definition.setPlainText(one.draft.definition)
        self.rule.setText(one.draft.text)
        self.mode.setCurrentIndex(self.mode.findData(one.draft.mode))
        for positive, box in ((True, self.positive), (False, self.negative)):
            box.setPlainText("\n".join(each.text for each in one.draft.examples if each.positive is positive))
        self._read_hits(one.id)

    def _read_hits(self, rubric_id: int) -> None:
        self._context.background.read(self, lambda c: rubrics.clusters(c, rubric_id), self._show_hits)

    def _show_hits(self, found: tuple[Cluster, ...]) -> None:
        self.found.clear()
        for cluster in found[:MOST_CLUSTERS]:
            head = QTreeWidgetItem([cluster.name, f"{len(cluster.hits):,}", f"{cluster.traces:,}"])
            self.found.addTopLevelItem(head)
            for hit in cluster.hits[:MOST_HITS]:
                item = QTreeWidgetItem([f"trace {hit.trace_id}: “{' '.join(hit.quote.split())}”"])
                item.setData(0, HIT_ROLE, hit)
                head.addChild(item)

    def _open(self, item: QTreeWidgetItem) -> None:
        hit = item.data(0, HIT_ROLE)
        if isinstance(hit, RubricHit):
            self.spanWanted.emit(hit.trace_id, hit.start, hit.end)
        else:
            item.setExpanded(not item.isExpanded())

    def _new(self) -> None:
        self.current = None
        self.list.setCurrentRow(-1)
        for field in (self.name, self.rule, self.definition, self.positive, self.negative):
            field.clear()
        self.found.clear()
        self.name.setFocus()

    def _remove(self) -> None:
        rubric_id = self.current
        if rubric_id is not None and not self.running:
            self._context.background.write(self, lambda c: rubrics.remove(c, rubric_id), lambda _c: self._read())
            self._new()

    def _lay_out(self) -> None:
        for widget, name in ((self.list, "Rubrics"), (self.found, "What it found"), (self.mode, "How it is meant")):
            widget.setAccessibleName(name)
        for mode in Mode:
            self.mode.addItem(mode.value, mode)
        self.found.setHeaderLabels(["Found, by its words", "hits", "traces"])
        self.found.setColumnWidth(0, 360)
        self.list.setMaximumWidth(220)
        for box, hint in ((self.positive, "one a line: must be found"), (self.negative, "one a line: must not")):
            box.setPlaceholderText(hint)
        for box in (self.definition, self.positive, self.negative):
            box.setMaximumHeight(64)
            box.setTabChangesFocus(True)
        set_role(self.state, "caption")
        self.state.setWordWrap(True)
        rule = QHBoxLayout()
        rule.addWidget(self.rule, 1)
        rule.addWidget(self.mode)
        form = QFormLayout()
        rows: tuple[tuple[str, QWidget | QHBoxLayout], ...] = (
            *(("Name", self.name), ("Definition", self.definition), ("Rule", rule)),
            *(("Examples", self.positive), ("Counter-examples", self.negative)),
        )
        for label, field in rows:
            form.addRow(label, field)
        self._lay_out_columns(form)
        self._show_running(on=False)

    def _lay_out_columns(self, form: QFormLayout) -> None:
        left, right, whole = QVBoxLayout(), QVBoxLayout(), QHBoxLayout()
        left.addWidget(self.list, 1)
        left.addWidget(button("New", self._new, parent=self))
        left.addWidget(button("Remove", self._remove, parent=self))
        foot = QHBoxLayout()
        foot.addWidget(self.go)
        foot.addWidget(self.stop)
        foot.addWidget(self.state, 1)
        foot.addWidget(button("Close", self.accept, parent=self))
        right.addLayout(form)
        right.addWidget(self.found, 1)
        right.addLayout(foot)
        whole.addLayout(left)
        whole.addLayout(right, 1)
        for each in (left, right, whole):
            each.setSpacing(GAP)
        whole.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self.setLayout(whole)
