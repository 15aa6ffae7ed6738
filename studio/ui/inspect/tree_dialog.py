"""The candidate tree of a problem: the drawing, what the current node says, and the traces behind it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from studio.store import trace_tree
from studio.store.trace_tree import TraceTree
from studio.ui.context import Context
from studio.ui.dialogs import set_role
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
        self.resize(1100, 700)
        self.view = TreeView(context.theme)
        self.state, self.node = QLabel("reading …"), QLabel()
        self.text = QPlainTextEdit()
        self._lay_out()
        self.view.nodeChosen.connect(self._on_node)
        self.view.nodeOpened.connect(self._open)
        context.background.read(
            self, lambda c: trace_tree.of_problem(c, trace_id), self._show, lambda error: self.state.setText(str(error))
        )

    def _show(self, made: TraceTree) -> None:
        self.made = made
        count = sum(branch.candidate is None for branch in made.branches)
        beside = len(made.branches) - count
        said = [plural(count, "trace"), plural(len(made.tree.parent) - 1, "node"), plural(made.tree.leaves, "end")]
        if beside:
            said.append(plural(beside, "candidate"))
        if made.left_out:
            said.append(f"{made.left_out:,} traces left out")
        colour = f"; without outcomes by {made.scorer}" if made.scorer else ""
        self.state.setText(" · ".join(said) + f". Colour: mean outcome of the traces through a node{colour}.")
        self.view.show_tree(made)
        self.view.setFocus()

    def _on_node(self, node: int) -> None:
        made = self.made
        if made is None:
            return
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
        self.node.setText(" · ".join(said))
        self.text.setPlainText(made.text(node))

    def _open(self, node: int) -> None:
        if self.made is not None and node > 0:
            branch = self.made.branches[int(self.made.tree.path[node])]
            self.stepWanted.emit(branch.trace_id, int(self.made.tree.step[node]))

    def _lay_out(self) -> None:
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
        column.addWidget(self.state)
        column.addWidget(self.view, 1)
        column.addWidget(self.node)
        column.addWidget(self.text)
        column.addLayout(foot)

    def _whole(self) -> None:
        self.view.fit()
        self.view.setFocus()
