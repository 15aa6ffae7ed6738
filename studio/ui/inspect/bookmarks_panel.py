"""The panel Bookmarks: stretches that people marked, of this trace or of all; each jumps, is edited, or removed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Changes, Topic
from studio.errors import ConflictError, StoreError
from studio.exchange import annotation_file
from studio.render.prose import visible
from studio.store import bookmarks, flag_words
from studio.store.bookmarks import Bookmark, Done
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.bookmark_dialog import BookmarkDialog, Said
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.opened import Opened
from studio.ui.widgets.parts import Quiet, button, plural
from trainer.reasoning.segment import Span

ID_ROLE = int(Qt.ItemDataRole.UserRole)
QUOTED = 120
TYPING_MS = 180
GONE = "These words do not stand in the trace any more."
HERE, EVERYWHERE = "This trace", "All traces"


class BookmarksPanel(QWidget):
    """Bookmarks, and their commands.

    Signals:
        spanChosen(int, int): show these code points of the trace that is open.
    """

    spanChosen = Signal(int, int)

    def __init__(self, context: Context, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._cursor = context, cursor
        self._opened: Opened | None = None
        self._number = 0
        self._wanted: Bookmark | None = None
        self.marks: tuple[Bookmark, ...] = ()
        self.dialog: BookmarkDialog | None = None
        self.scope, self.search = QComboBox(self), QLineEdit(self)
        self.list = QListWidget(self)
        self.detail, self.state = Quiet("", self), QLabel("", self)
        self.add = button("Bookmark…", partial(context.actions.run, "bookmark"), tip="The current step", parent=self)
        self.edit = button("Edit…", self._edit, tip="Its words and tags", parent=self)
        self.remove = button("Remove", self._remove, tip="Ctrl+Z brings it back", parent=self)
        self.out = button("Export…", self._export, tip="As OpenInference span annotations", parent=self)
        self.take = button("Import…", self._import, tip="Span annotations that were exported here", parent=self)
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._lay_out()
        self._connect()

    @property
    def chosen(self) -> Bookmark | None:
        """The bookmark chosen in the list."""
        item = self.list.currentItem()
        wanted = None if item is None else item.data(ID_ROLE)
        return next((mark for mark in self.marks if mark.id == wanted), None)

    def show_trace(self, opened: Opened | None) -> None:
        """Show another trace, or the same one anew; a bookmark that asked for it is shown."""
        self._opened = opened
        self._context.actions.enable("bookmark", opened is not None and opened.trace.id > 0)
        self._read()
        wanted = self._wanted
        if opened is not None and wanted is not None and wanted.trace_id == opened.trace.id:
            self._wanted = None
            self._jump(wanted)

    def export(self, path: Path) -> None:
        """Write all bookmarks to a file."""
        self._context.background.read(
            self,
            lambda c: annotation_file.write(c, path),
            lambda count: self._context.say(f"{plural(count, 'bookmark')} written to {path}"),
            self._on_refused,
        )

    def take_in(self, path: Path) -> None:
        """Read bookmarks from a file."""

        def done(taken: annotation_file.TakenIn) -> None:
            first = f": {taken.left_out[0]}" if taken.left_out else ""
            self._context.say(f"{taken}{first}")

        self._context.background.write(self, lambda c: annotation_file.read(c, path), done, self._on_refused)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._number += 1
        number, text = self._number, self.search.text()
        trace_id = 0 if self._opened is None else self._opened.trace.id
        if self.scope.currentText() == EVERYWHERE:
            self._context.background.read(self, lambda c: bookmarks.every(c, text=text), partial(self._fill, number))
        elif trace_id > 0:
            self._context.background.read(self, lambda c: bookmarks.of_trace(c, trace_id), partial(self._fill, number))
        else:
            self._fill(number, ())

    def _fill(self, number: int, marks: tuple[Bookmark, ...]) -> None:
        if number != self._number:
            return
        before = self.chosen
        everywhere = self.scope.currentText() == EVERYWHERE
        self.marks = marks
        self.list.blockSignals(True)
        self.list.clear()
        for mark in marks:
            item = QListWidgetItem(_line(mark, named=everywhere), self.list)
            item.setData(ID_ROLE, mark.id)
            if before is not None and before.id == mark.id:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self.state.setText(plural(len(marks), "bookmark"))
        self._show_chosen()

    def _show_chosen(self) -> None:
        mark = self.chosen
        for widget in (self.edit, self.remove):
            widget.setEnabled(mark is not None)
        self.detail.setVisible(mark is not None)
        if mark is None:
            return
        gone = self._of_this_trace(mark) and self._span(mark) is None
        parts = (GONE if gone else "", visible(mark.comment), f"by {mark.author or 'somebody'}, {mark.changed_at[:10]}")
        self.detail.setText("\n".join(part for part in parts if part))

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.BOOKMARKS, Topic.TRACES):
            self._read()

    # -- doing --------------------------------------------------------------------------------------------------------

    def _of_this_trace(self, mark: Bookmark) -> bool:
        return self._opened is not None and self._opened.trace.id == mark.trace_id

    def _span(self, mark: Bookmark) -> Span | None:
        return None if self._opened is None else mark.span_in(self._opened.trace.text)

    def _on_clicked(self) -> None:
        mark = self.chosen
        if mark is None:
            return
        if self._of_this_trace(mark):
            self._jump(mark)
        else:
            self._wanted = mark
            self._context.open_trace(Page.INSPECT, mark.trace_id)

    def _jump(self, mark: Bookmark) -> None:
        span = self._span(mark)
        if span is None:
            self._context.say(GONE)
        else:
            self.spanChosen.emit(span.start, span.end)

    def _new(self) -> None:
        opened, step = self._opened, self._cursor.position.step
        if opened is None or not opened.trace.text:
            return
        shape = opened.structure
        place = self._cursor.position
        if 0 <= step < opened.count and shape.step_ends[step] > place.point:
            span = Span(int(shape.step_starts[step]), int(shape.step_ends[step]))
        else:  # in a tool's result, say: the line it stands in
            line = shape.line_at(place.point)
            span = Span(int(shape.start[line]), int(shape.end[line]))
        if span.end <= span.start:
            self._context.say("there is no text here: move to a step with j or k")
            return
        self.dialog = BookmarkDialog(opened.trace.text, span, parent=self)
        self.dialog.said.connect(partial(self._on_new, opened.trace.id))
        self.dialog.open()

    def _on_new(self, trace_id: int, said: Said) -> None:
        me = self._context.annotator.id

        def write(c: Connection) -> Done:
            return bookmarks.add(c, trace_id, said.start, said.end, me, comment=said.comment, tags=said.tags)

        self._write(write, "bookmarked")

    def _edit(self) -> None:
        mark = self.chosen
        if mark is None:
            return
        span = Span(0, len(mark.quote))
        self.dialog = BookmarkDialog(mark.quote, span, comment=mark.comment, tags=mark.tags, new=False, parent=self)
        self.dialog.said.connect(partial(self._on_edited, mark.id))
        self.dialog.open()

    def _on_edited(self, bookmark_id: int, said: Said) -> None:
        me = self._context.annotator.id
        self._write(lambda c: bookmarks.change(c, bookmark_id, me, comment=said.comment, tags=said.tags), "kept")

    def _remove(self) -> None:
        mark, me = self.chosen, self._context.annotator.id
        if mark is not None:
            self._write(lambda c: bookmarks.remove(c, mark.id, me), "bookmark removed; Ctrl+Z brings it back")

    def _take_back(self, *, again: bool) -> None:
        """Undo, or redo, the newest of what this person said of bookmarks and flags."""
        me = self._context.annotator.id
        word = "done again" if again else "taken back"

        def done(found: object) -> None:
            self._context.say(f"{found}: {word}" if isinstance(found, str) else f"nothing of yours to be {word} here")

        self._context.background.write(self, lambda c: _revert(c, me, again), lambda each: done(each.what))

    def _write(self, verb: object, words: str) -> None:
        assert callable(verb)

        def run(c: Connection) -> Done:
            result: Done = verb(c)
            return result

        self._context.background.write(self, run, lambda _done: self._context.say(words), self._on_refused)

    def _on_refused(self, error: Exception) -> None:
        if isinstance(error, ConflictError | StoreError):
            self._context.say(str(error))
        else:
            self._context.fail(error)

    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export bookmarks", "bookmarks.json", "JSON (*.json)")
        if name:
            self.export(Path(name))

    def _import(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import bookmarks", "", "JSON (*.json)")
        if name:
            self.take_in(Path(name))

    def _on_scope(self) -> None:
        self.search.setVisible(self.scope.currentText() == EVERYWHERE)
        self._read()

    def _connect(self) -> None:
        on = self._context.actions.on
        on("bookmark", self._new)
        on("undo_inspect", lambda: self._take_back(again=False))
        on("redo_inspect", lambda: self._take_back(again=True))
        self.list.itemClicked.connect(lambda _item: self._on_clicked())
        self.list.itemActivated.connect(lambda _item: self._on_clicked())
        self.list.currentItemChanged.connect(lambda *_: self._show_chosen())
        self.scope.currentIndexChanged.connect(lambda _index: self._on_scope())
        self.search.textChanged.connect(lambda _text: self._typing.start())
        self._typing.timeout.connect(self._read)
        self._context.background.changed.connect(self._on_changed)

    def _lay_out(self) -> None:
        self.scope.addItems([HERE, EVERYWHERE])
        self.scope.setAccessibleName("Bookmarks of")
        self.search.setAccessibleName("Search in bookmarks")
        self.search.setPlaceholderText("Words, quote or tag")
        self.search.setClearButtonEnabled(True)
        self.search.hide()
        self.list.setAccessibleName("Bookmarks")
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        set_role(self.state, "caption")
        self.setMinimumWidth(self._context.theme.px(230))
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 8, 6, 6)
        column.setSpacing(6)
        for widget in (self.scope, self.search, self.state):
            column.addWidget(widget)
        column.addWidget(self.list, 1)
        column.addWidget(self.detail)
        for pair in ((self.add, self.edit, self.remove), (self.out, self.take)):
            row = QHBoxLayout()
            row.setSpacing(6)
            for each in pair:
                each.setStyleSheet("QPushButton { padding-left: 8px; padding-right: 8px; }")
                row.addWidget(each)
            row.addStretch(1)
            column.addLayout(row)
        self._fill(0, ())


class _Reverted:
    """What was taken back, in a word, and what changed by it."""

    def __init__(self, what: str | None, changes: Changes) -> None:
        self.what, self.changes = what, changes


def _revert(c: Connection, me: int, again: bool) -> _Reverted:
    """The newer one of this person's last words on bookmarks and on flags."""
    marked = bookmarks.can_redo(c, me) if again else bookmarks.can_undo(c, me)
    flagged = flag_words.can_redo(c, me) if again else flag_words.can_undo(c, me)
    if marked is not None and (flagged is None or flagged.id < marked.id):
        done = bookmarks.redo(c, me) if again else bookmarks.undo(c, me)
        return _Reverted("bookmark", Changes() if done is None else done.changes)
    said = flag_words.redo(c, me) if again else flag_words.undo(c, me)
    return _Reverted(None, Changes()) if said is None else _Reverted("flag", said.changes)


def _line(mark: Bookmark, *, named: bool) -> str:
    quote = " ".join(visible(mark.quote[:QUOTED]).split())
    more = "…" if len(mark.quote) > QUOTED else ""
    head = [f"trace {mark.trace_id}"] if named else []
    head += [f"#{tag}" for tag in mark.tags]
    first = " ".join(mark.comment.split())[:QUOTED]
    lines = ("  ".join(head), visible(first), f"“{quote}{more}”")
    return "\n".join(line for line in lines if line)
