"""The quiet tabs of a run: spec with rows left out and lineage, checkpoints, notices, log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from studio.jobs.values import RunNotice, RunView
from studio.ui.train.words import local_time
from studio.ui.widgets.parts import Quiet, button, monospace, plural, size_text
from studio.ui.widgets.spec_form import label_of
from trainer.contract.events import Checkpoint
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import RunFolder, read_events
from trainer.contract.spec import RunSpec

if TYPE_CHECKING:
    from studio.ui.context import Context

LOG_LINES = 400
_MARKS = {"info": "i", "warning": "!", "error": "✗"}


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint that lies in the run folder."""

    name: str
    step: int
    best: bool
    size: int
    at: float


def saved_checkpoints(folder: RunFolder) -> tuple[SavedCheckpoint, ...]:
    """The checkpoints on disk, newest first, as events.jsonl announced them. Reads files: background thread."""
    said: dict[str, Checkpoint] = {}
    offset, last = 0, -1
    while offset != last:
        last = offset
        found, offset = read_events(folder.path / folder.events.name, offset)
        said |= {event.path: event for event in found if isinstance(event, Checkpoint)}
    kept = []
    for path, event in said.items():
        place = folder.path / path
        if place.is_dir():
            size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            kept.append(SavedCheckpoint(path, event.step, event.best, size, event.at))
    return tuple(sorted(kept, key=lambda c: (c.step, c.at), reverse=True))


def _tree(heads: tuple[str, ...], name: str, parent: QWidget) -> QTreeWidget:
    tree = QTreeWidget(parent)
    tree.setHeaderLabels(list(heads))
    tree.setAccessibleName(name)
    tree.setRootIsDecorated(False)
    tree.setUniformRowHeights(True)
    tree.header().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return tree


class SpecTab(QWidget):
    """What the run was asked, which rows went in and which did not, and where it all came from."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.tree = _tree(("What", "Value"), "Spec, rows left out and lineage", self)
        self.tree.setRootIsDecorated(True)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.tree)

    def show_run(self, view: RunView) -> None:
        """Read spec.json in the background, then fill the tree."""
        folder = RunFolder(self._context.workspace.path / view.folder)
        self._context.background.call(self, folder.read_spec, lambda spec: self._fill(view, spec))

    def _fill(self, view: RunView, spec: RunSpec) -> None:
        self.tree.clear()
        self._part("Run", {"name": spec.name, "uid": spec.run, "folder": view.folder, "attempts": str(view.attempts)})
        self._part("Parameters", {label_of(k): _shown(v) for k, v in spec.parameters.items()})
        rows = {"rows that went in": f"{spec.input_rows:,}", "sha256 of the rows": spec.input_sha256}
        self._part("Rows", rows)
        left = {reason: f"{count:,}" for reason, count in spec.left_out.items()}
        self._part("Rows left out", left or {"none": ""})
        self._part("Selection", {label_of(k): _shown(v) for k, v in spec.selection.items() if v not in ("", [], ())})
        lineage = {"contract": str(spec.contract), "created": local_time(view.created_at)}
        lineage |= {f"model ({m.role}{_since(m)})": f"{m.name or m.path}  {m.checksum[:16]}" for m in spec.models}
        lineage |= {"annotations": "each row of input.jsonl names its annotations and their revisions"}
        if view.stale:
            lineage["stale"] = "an annotation this run used has a newer revision"
        if view.model_folder:
            lineage["model made"] = view.model_folder
        self._part("Lineage", lineage)
        self._part("Summary", {label_of(k): f"{v:,.4g}" for k, v in view.summary.items()})

    def _part(self, title: str, lines: dict[str, str]) -> None:
        if not lines:
            return
        top = QTreeWidgetItem(self.tree, [title])
        font = top.font(0)
        font.setBold(True)
        top.setFont(0, font)
        for name, value in lines.items():
            item = QTreeWidgetItem(top, [name, value])
            item.setToolTip(1, value)
        top.setExpanded(True)


class CheckpointsTab(QWidget):
    """The best checkpoint and the last ones that are kept."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.tree = _tree(("Checkpoint", "Step", "", "Size", "Written"), "Checkpoints", self)
        self.note = Quiet("", self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.note)
        column.addWidget(self.tree, 1)

    def show_run(self, view: RunView) -> None:
        """Look into the run folder in the background, then fill the list."""
        folder = RunFolder(self._context.workspace.path / view.folder)
        self._context.background.call(self, lambda: saved_checkpoints(folder), self._fill)

    def _fill(self, kept: tuple[SavedCheckpoint, ...]) -> None:
        self.tree.clear()
        for c in kept:
            written = local_time(datetime.fromtimestamp(c.at, UTC).replace(tzinfo=None).isoformat())
            QTreeWidgetItem(self.tree, [c.name, f"{c.step:,}", "★ best" if c.best else "", size_text(c.size), written])
        self.tree.resizeColumnToContents(0)
        self.note.setText(
            f"{plural(len(kept), 'checkpoint')}, {size_text(sum(c.size for c in kept))}. Resume takes the newest."
            if kept
            else "No checkpoint yet. The run writes one every few steps, see “Checkpoint every” in its spec."
        )


class NoticesTab(QWidget):
    """What the worker wanted people to know, with its figures."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tree = _tree(("", "Step", "What", "Counts"), "Notices", self)
        self.tree.header().setStretchLastSection(False)
        self.tree.header().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.tree.setColumnWidth(3, 360)
        self.note = Quiet("", self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.note)
        column.addWidget(self.tree, 1)

    def show_notices(self, notices: tuple[RunNotice, ...]) -> None:
        """List them, the newest last."""
        self.tree.clear()
        for notice in notices:
            counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in notice.counts.items() if count)
            mark = f"{_MARKS.get(notice.level, '')} {notice.level}"
            item = QTreeWidgetItem(self.tree, [mark, f"{notice.step:,}", notice.message, counts])
            item.setToolTip(2, notice.message)
            item.setToolTip(3, counts.replace(", ", "\n"))
        for column in (0, 1):
            self.tree.resizeColumnToContents(column)
        self.note.setText(
            plural(len(notices), "notice") + " of this run, oldest first."
            if notices
            else "The run has nothing to report: no label lost, no batch without labels, no NaN."
        )


class LogTab(QWidget):
    """The end of worker.log."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.text = monospace("", self)
        self.text.setAccessibleName("The end of worker.log")
        self.note = Quiet("", self)
        row = QHBoxLayout()
        row.addWidget(self.note, 1)
        row.addWidget(button("Copy", self._on_copy, tip="Copy the shown lines", parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addLayout(row)
        column.addWidget(self.text, 1)

    def show_run(self, view: RunView) -> None:
        """Read the end of the log in the background."""
        path = Path(view.folder) / "worker.log"
        jobs, run = self._context.jobs, view.id
        self._context.background.call(self, lambda: jobs.log_tail(run, LOG_LINES), lambda text: self._fill(path, text))

    def _fill(self, path: Path, text: str) -> None:
        if text != self.text.toPlainText():
            bar = self.text.verticalScrollBar()
            at_end = bar.value() >= bar.maximum() - 2
            self.text.setPlainText(text)
            if at_end:
                bar.setValue(bar.maximum())
        self.note.setText(f"The last lines of {path}" if text else f"{path} is empty.")

    def _on_copy(self) -> None:
        self.text.selectAll()
        self.text.copy()
        self._context.say("Log copied")


def _since(model: ModelRef) -> str:
    return f", from step {model.from_step:,} on" if model.from_step else ""


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("\n", "\\n")
