"""The tree of a problem, of all its traces or of one search: the drawing, the current node, the traces behind it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.store import trace_tree
from studio.store.searches import StoredSearch
from studio.store.trace_tree import Searches, Sought, TraceTree
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.tree_view import TreeView
from studio.ui.widgets.parts import GAP, MARGIN, button, plural


class TreeDialog(QDialog):
    """Opens on the tree that a trace belongs to.

    Signals:
        stepWanted(int, int): show this trace at this step.
    """

    stepWanted = Signal(int, int)

    def __init__(self, context: Context, trace_id: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.made: TraceTree | None = None
        self.setWindowTitle(f"What was tried for the problem of trace {trace_id}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 1100, 700)
        self.view = TreeView(context.theme)
        self.state, self.node = QLabel("reading …"), QLabel()
        self._trace_id = trace_id
        self._searches: tuple[StoredSearch, ...] = ()
        self.chooser = QComboBox()
        self.text = QPlainTextEdit()
        self._lay_out()
        self.view.nodeChosen.connect(self._on_node)
        self.view.nodeOpened.connect(self._open)
        self.chooser.currentIndexChanged.connect(self._on_chosen)
        context.background.read(
            self,
            lambda c: trace_tree.searches_of(c, trace_id),
            self._offer,
            lambda error: self.state.setText(str(error)),
        )

    def _offer(self, known: Searches) -> None:
        """Fill the chooser, and begin with the search that wrote the trace, where one did."""
        found = self._searches = known.others if known.own is None else (known.own, *known.others)
        with QSignalBlocker(self.chooser):
            self.chooser.addItem("All traces of the problem")
            for one in found:
                self.chooser.addItem(f"Search: {one.title}" + (f" · {one.run}" if one.run else ""))
            self.chooser.setCurrentIndex(0 if known.own is None else 1)
        self.chooser.setVisible(bool(found))
        self._on_chosen(self.chooser.currentIndex())

    def _on_chosen(self, index: int) -> None:
        """Read the tree that was chosen."""
        trace_id = self._trace_id
        self.state.setText("reading …")
        self.made = None
        if index > 0:
            wanted = self._searches[index - 1].id
            self._read(lambda c: trace_tree.of_search(c, wanted, trace_id), index)
        else:
            self._read(lambda c: trace_tree.of_problem(c, trace_id), index)

    def _read(self, verb: Callable[[Connection], TraceTree], index: int) -> None:
        def show(made: TraceTree) -> None:
            if self.chooser.currentIndex() == index:  # nobody has chosen another meanwhile
                self._show(made)

        self._context.background.read(self, verb, show, lambda error: self.state.setText(str(error)))

    def _show(self, made: TraceTree) -> None:
        self.made = made
        self.state.setText(_of_search(made, made.sought) if made.sought is not None else _of_traces(made))
        self.view.show_tree(made)
        self.view.setFocus()

    def _on_node(self, node: int) -> None:
        made = self.made
        if made is None:
            return
        said = _node_of_search(made, made.sought, node) if made.sought is not None else _node_of_traces(made, node)
        self.node.setText(" · ".join(said))
        self.text.setPlainText(made.text(node))

    def _open(self, node: int) -> None:
        made = self.made
        if made is None or node <= 0 or (branch := made.branch(node)) is None:
            return
        trace_id = branch.trace_id
        self._context.background.read(
            self, lambda c: trace_tree.step_of(c, made, node), lambda step: self.stepWanted.emit(trace_id, step)
        )

    def _lay_out(self) -> None:
        self.chooser.setAccessibleName("Which tree")
        self.chooser.hide()
        set_role(self.state, "caption")
        set_role(self.node, "caption")
        self.text.setReadOnly(True)
        self.text.setMaximumHeight(120)
        self.text.setAccessibleName("What the node says")
        foot = QHBoxLayout()
        foot.addWidget(button("Whole tree", self._whole, tip="0", parent=self))
        foot.addWidget(button("Larger", lambda: self.view.zoom_by(1.25), tip="+", parent=self))
        foot.addWidget(button("Smaller", lambda: self.view.zoom_by(0.8), tip="-", parent=self))
        foot.addWidget(button("Open in its trace", lambda: self._open(self.view.current), tip="Enter", parent=self))
        foot.addStretch(1)
        foot.addWidget(button("Close", self.accept, primary=True, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(self.chooser)
        column.addWidget(self.state)
        column.addWidget(self.view, 1)
        column.addWidget(self.node)
        column.addWidget(self.text)
        column.addLayout(foot)

    def _whole(self) -> None:
        self.view.fit()
        self.view.setFocus()


def _of_traces(made: TraceTree) -> str:
    count = sum(branch.candidate is None for branch in made.branches)
    beside = len(made.branches) - count
    said = [plural(count, "trace"), plural(len(made.tree.parent) - 1, "node"), plural(made.tree.leaves, "end")]
    if beside:
        said.append(plural(beside, "candidate"))
    if made.left_out:
        said.append(f"{made.left_out:,} traces left out")
    if count == 1 and not beside:
        said.append("nothing else answers this problem")
    colour = f"; without outcomes by {made.scorer}" if made.scorer else ""
    return " · ".join(said) + f". Colour: mean outcome of the traces through a node{colour}."


def _of_search(made: TraceTree, sought: Sought) -> str:
    one, spent = sought.search, sought.search.spent
    kept = sum(node.kept for node in sought.nodes[1:])
    answer = "no answer" if one.answer is None else f"answer {one.answer}"
    right = {1: ", right", 0: ", wrong", None: ""}[one.outcome]
    said = [
        answer + right,
        f"{one.nodes - 1:,} steps tried, {kept:,} kept",
        f"{plural(one.traces, 'trace')} finished",
        f"{spent.tokens:,} tokens drawn, {spent.tokens_read:,} read",
        f"{plural(spent.prm_calls, 'prefix', 'prefixes')} scored",
        f"{spent.seconds:.1f} s",
    ]
    colour = f" Colour: value, by {made.scorer}." if made.scorer else ""
    return " · ".join(said) + "." + colour


def _node_of_traces(made: TraceTree, node: int) -> list[str]:
    tree = made.tree
    said = ["the problem" if node == 0 else f"step {int(tree.depth[node])}", plural(int(tree.visits[node]), "path")]
    if not np.isnan(tree.value[node]):
        said.append(f"{tree.value[node]:.0%} of them right")
    if not np.isnan(tree.score[node]):
        said.append(f"score {tree.score[node]:.2f}")
    if tree.ends[node]:
        said.append(f"{int(tree.ends[node])} end here")
    if node and (branch := made.branches[int(tree.path[node])]).candidate is not None:
        said.append(f"a candidate of trace {branch.trace_id}, by {branch.model}")
    return said


def _node_of_search(made: TraceTree, sought: Sought, node: int) -> list[str]:
    one = sought.nodes[node]
    said = ["the problem" if node == 0 else f"step {int(made.tree.depth[node])}"]
    if node:
        said += [f"round {one.round}", plural(one.tokens, "token")]
    if one.score is not None:
        said.append(f"score {one.score:.2f}")
    if one.value is not None:
        said.append(f"value {one.value:.2f}")
    if one.visits != 1:
        said.append(plural(one.visits, "visit"))
    if node:
        said.append("kept" if one.kept else "not kept")
    if one.trace >= 0:
        branch = made.branches[one.trace]
        right = {1: ", right", 0: ", wrong", None: ""}[branch.outcome]
        ends = f"trace {branch.trace_id} ends here" if branch.trace_id else "a trace that is gone ended here"
        said.append(ends + right + (", and it answers" if one.trace == sought.chosen else ""))
    return said
