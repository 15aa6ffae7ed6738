"""Rubrics: write what to look for, run it by rule, classifier or judge, open what it found and say if it is right."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
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

from studio.domain import Changes, Project, Topic
from studio.errors import FindError
from studio.store import projects, rubrics
from studio.store.find_pattern import Mode
from studio.store.rubrics import RULE, Cluster, Draft, Example, HitState, Rubric, RubricHit
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.rubric_run_dialog import RubricRunDialog
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, plural
from trainer.contract.specs.rubric import RubricBy

HIT_ROLE = int(Qt.ItemDataRole.UserRole)
MOST_CLUSTERS, MOST_HITS = 500, 200
NEWS_MS = 400
KEYS = {int(Qt.Key.Key_C): HitState.CONFIRMED, int(Qt.Key.Key_X): HitState.REJECTED}
WAYS = (("its rule", RULE, None), *((by.value, by.name.lower(), by) for by in RubricBy))
MARKS = {HitState.OPEN: "", HitState.CONFIRMED: "✓ ", HitState.REJECTED: "✗ "}


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
        self._asked = 0
        self._stopped = False
        self.setWindowTitle("Rubrics")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 980, 640)
        self.list, self.found = QListWidget(), QTreeWidget()
        self.name, self.rule, self.mode = QLineEdit(), QLineEdit(), QComboBox()
        self.rule.setAccessibleName("Rule")
        self.definition, self.positive, self.negative = QPlainTextEdit(), QPlainTextEdit(), QPlainTextEdit()
        self.by, self.project, self.state = QComboBox(), QComboBox(), QLabel()
        self._news = QTimer(self, singleShot=True, interval=NEWS_MS)
        self.go = button("Save and run", self.run, primary=True, parent=self)
        self.stop = button("Cancel", self._stop, tip="What was found so far is kept", parent=self)
        self.confirm = button("Confirm", lambda: self._say(HitState.CONFIRMED), tip="It is there (C)", parent=self)
        self.reject_hit = button("Reject", lambda: self._say(HitState.REJECTED), tip="It is not (X)", parent=self)
        self._lay_out()
        self.found.installEventFilter(self)
        self.by.currentIndexChanged.connect(lambda _index: self._on_way())
        context.background.changed.connect(self._on_changed)
        self._news.timeout.connect(self._read)
        self.list.currentRowChanged.connect(self._on_row)
        self.found.itemActivated.connect(lambda item, _column: self._open(item))
        self.found.itemClicked.connect(lambda item, _column: self._open(item))
        context.background.read(self, projects.all_projects, self._on_projects)
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
        """Save; by rule say which examples it gets wrong and look through all traces, else order a run."""
        draft, current = self.draft(), self.current
        by = WAYS[self.by.currentIndex()][2]
        if by is not None and not self.running:
            self._context.background.write(
                self,
                lambda c: rubrics.get(c, rubrics.save(c, draft, current)),
                partial(self._order, by),
                self._on_failed,
            )
            return
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

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """C confirms and X rejects what is chosen among the hits."""
        if watched is self.found and isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            state = KEYS.get(event.key())
            if state is not None and not event.modifiers():
                self._say(state)
                return True
        return super().eventFilter(watched, event)

    def _order(self, by: RubricBy, rubric: Rubric) -> None:
        """The form of a run: its cost is told before Start."""
        self.current = rubric.id
        self._read()
        RubricRunDialog(self._context, rubric.draft.name, by, self).open()

    # -- the pass -----------------------------------------------------------------------------------------------------

    def _go_on(self, after: int, count: int, said: str, rubric: Rubric) -> None:
        self.current = rubric.id
        self.state.setText(f"looking … {plural(count, 'hit')} so far.{said}")

        project = self.project.currentData()

        def read(c: Connection) -> tuple[list[RubricHit], int | None]:
            return rubrics.find(c, rubric.draft, project=project, after=after)

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

    def _on_projects(self, known: tuple[Project, ...]) -> None:
        for project in known:
            self.project.addItem(f"in {project.name}", project.id)

    def _show_running(self, *, on: bool) -> None:
        self.project.setEnabled(not on)
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
        how = WAYS[self.by.currentIndex()][1]
        self._asked += 1
        number = self._asked

        def show(found: tuple[Cluster, ...]) -> None:
            if number == self._asked:  # of several reads the last that was asked for, whichever ends last
                self._show_hits(found)

        self._context.background.read(self, lambda c: rubrics.clusters(c, rubric_id, how=how), show)

    def _on_way(self) -> None:
        self.project.setVisible(self.by.currentData() is None)
        self.go.setText("Save and run" if self.by.currentData() is None else "Save and choose traces…")
        self.state.clear()
        if self.current is not None:
            self._read_hits(self.current)

    def _on_changed(self, changes: Changes) -> None:
        """Another run, or another window, found or judged something."""
        if changes.touches(Topic.FAILURES) and not self.running:
            self._news.start()

    def _show_hits(self, found: tuple[Cluster, ...]) -> None:
        """The clusters; those that were unfolded stay so, and the chosen line stays chosen."""
        heads = [self.found.topLevelItem(k) for k in range(self.found.topLevelItemCount())]
        unfolded = {head.text(0) for head in heads if head is not None and head.isExpanded()}
        chosen = self._chosen()
        self.found.clear()
        for cluster in found[:MOST_CLUSTERS]:
            head = QTreeWidgetItem([cluster.name, f"{len(cluster.hits):,}", f"{cluster.traces:,}"])
            self.found.addTopLevelItem(head)
            head.setExpanded(cluster.name in unfolded)
            if chosen == cluster.name:
                self.found.setCurrentItem(head)
            for hit in cluster.hits[:MOST_HITS]:
                said = f"{MARKS[hit.state]}trace {hit.trace_id}: “{' '.join(hit.quote.split())}”"
                item = QTreeWidgetItem([said, "" if hit.score is None else f"{hit.score:.2f}"])
                item.setData(0, HIT_ROLE, hit)
                head.addChild(item)
                if chosen == hit.id:
                    self.found.setCurrentItem(item)

    def _chosen(self) -> int | str | None:
        """The id of the chosen hit, or the name of the chosen cluster."""
        item = self.found.currentItem()
        if item is None:
            return None
        hit = item.data(0, HIT_ROLE)
        return hit.id if isinstance(hit, RubricHit) else item.text(0)

    def _say(self, state: HitState) -> None:
        """Of the chosen hit, or of all hits of the chosen cluster; said again, it is taken back."""
        item = self.found.currentItem()
        if item is None:
            return
        own = item.data(0, HIT_ROLE)
        children = (item.child(k) for k in range(item.childCount()))
        hits = [own] if isinstance(own, RubricHit) else [child.data(0, HIT_ROLE) for child in children if child]
        new = HitState.OPEN if all(hit.state is state for hit in hits) else state

        def verb(c: Connection) -> Changes:
            changes = Changes()
            for hit in hits:
                changes |= rubrics.review(c, hit.id, new)
            return changes

        self._context.background.write(self, verb, lambda _changes: None, self._on_failed)

    def _open(self, item: QTreeWidgetItem) -> None:
        hit = item.data(0, HIT_ROLE)
        if isinstance(hit, RubricHit):
            self.spanWanted.emit(hit.trace_id, hit.start, hit.end)
        else:
            item.setExpanded(not item.isExpanded())

    def _new(self) -> None:
        self.current = None
        self._asked += 1
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
        names = ((self.list, "Rubrics"), (self.found, "What it found"), (self.mode, "How it is meant"))
        for widget, name in (*names, (self.by, "What looks"), (self.project, "Where the rule looks")):
            widget.setAccessibleName(name)
        for words, _, by in WAYS:
            self.by.addItem(words, by)
        self.project.addItem("in all projects", None)
        self.project.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.project.setMinimumContentsLength(14)
        for mode in Mode:
            self.mode.addItem(mode.value, mode)
        self.found.setHeaderLabels(["Found, by what is said", "hits, score", "traces"])
        self.found.setColumnWidth(0, self._context.theme.px(360))
        self.found.setColumnWidth(1, self._context.theme.px(90))
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
        foot.addWidget(QLabel("Look by"))
        foot.addWidget(self.by)
        foot.addWidget(self.project)
        foot.addWidget(self.go)
        foot.addWidget(self.stop)
        foot.addWidget(self.state, 1)
        foot.addWidget(button("Close", self.accept, parent=self))
        right.addLayout(form)
        right.addWidget(self.found, 1)
        judged = QHBoxLayout()
        judged.addWidget(self.confirm)
        judged.addWidget(self.reject_hit)
        judged.addWidget(Quiet("A classifier learns from what is confirmed and rejected."), 1)
        right.addLayout(judged)
        right.addLayout(foot)
        whole.addLayout(left)
        whole.addLayout(right, 1)
        for each in (left, right, whole):
            each.setSpacing(GAP)
        whole.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self.setLayout(whole)
