"""The turns of a conversation, tools and their results folded below them; a click goes there."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QFrame, QListView, QWidget

from studio.render.prose import visible
from studio.ui.context import Context
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import BlockPlace
from studio.ui.inspect.transcript_painter import TITLES, block_words
from trainer.contract.records import BlockKind

Index = QModelIndex | QPersistentModelIndex
NO_PARENT = QModelIndex()
LONGEST_NAME = 60
LOOKED = 300  # letters in which a first line is looked for
SHORT = {BlockKind.TOOL_CALL: "→", BlockKind.TOOL_RESULT: "←", BlockKind.SUMMARY: "summary"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A turn, or (block 0 and up) a block within it."""

    turn: int
    block: int


class TurnsModel(QAbstractListModel):
    """Turns, and under each its thinking, tools and answer, and what of it is not readable."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._opened: Opened | None = None
        self._entries: tuple[_Entry, ...] = ()
        self._row_of_turn: dict[int, int] = {}

    def set_trace(self, opened: Opened | None) -> None:
        """Show this conversation."""
        self.beginResetModel()
        self._opened = opened
        entries: list[_Entry] = []
        self._row_of_turn = {}
        if opened is not None:
            blocks: dict[int, list[int]] = {}
            for place in opened.structure.blocks:
                if place.titled and place.kind is not BlockKind.OTHER:
                    blocks.setdefault(place.turn, []).append(place.number)
            kinds = opened.structure.blocks
            for turn in range(len(opened.structure.turns)):
                self._row_of_turn[turn] = len(entries)
                entries.append(_Entry(turn, -1))
                mine = blocks.get(turn, [])
                alone = len(mine) == 1 and kinds[mine[0]].kind is BlockKind.ANSWER  # the turn says as much
                entries += [] if alone else [_Entry(turn, block) for block in mine]
        self._entries = tuple(entries)
        self.endResetModel()

    def entry(self, row: int) -> _Entry:
        """What a line stands for."""
        return self._entries[row]

    def row_of(self, position: Position) -> int:
        """The line of a place; -1 without one."""
        row = self._row_of_turn.get(position.message, -1)
        while 0 <= row < len(self._entries) - 1 and self._entries[row + 1].block in range(position.block + 1):
            if self._entries[row + 1].turn != position.message:
                break
            row += 1
        return row

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """Turns and blocks."""
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """A line's words; blocks are smaller and stand in."""
        if not index.isValid() or self._opened is None:
            return None
        entry = self._entries[index.row()]
        shape = self._opened.structure
        if role == Qt.ItemDataRole.DisplayRole:
            turn = shape.turns[entry.turn]
            if entry.block >= 0:
                return visible(f"    {_short(self._opened, shape.blocks[entry.block])}")
            return visible(f"{entry.turn + 1}  {turn.role}" + (f"  {turn.name}" if turn.name else ""))[:LONGEST_NAME]
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            if entry.block >= 0:
                return visible(block_words(self._opened, shape.blocks[entry.block]))
            return visible(f"turn {entry.turn + 1} of {len(shape.turns)}, {shape.turns[entry.turn].role}")
        if role == Qt.ItemDataRole.FontRole and entry.block < 0:
            font = QFont()
            font.setWeight(QFont.Weight.DemiBold)
            return font
        return None


def _short(opened: Opened, place: BlockPlace) -> str:
    """A block in few words; of a tool what it was called with, or gave back, as its first line has it."""
    words = SHORT.get(place.kind, TITLES[place.kind].split(":")[0])
    if place.kind in (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT):
        text = opened.trace.text[place.start : min(place.end, place.start + LOOKED)].strip()
        words += f" {text.splitlines()[0][:LONGEST_NAME]}" if text else ", empty"
    return words


class TurnsPanel(QListView):
    """A list that follows the cursor.

    Signals:
        turnChosen(int): go to this turn.
        blockChosen(int): go to this block.
    """

    turnChosen = Signal(int)
    blockChosen = Signal(int)

    def __init__(self, context: Context, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._position = Position()
        self.turns = TurnsModel(self)
        self.setModel(self.turns)
        self.setUniformItemSizes(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setAccessibleName(self.tr("Turns"))
        self.setMinimumWidth(context.theme.px(120))
        self.clicked.connect(self._on_chosen)
        self.activated.connect(self._on_chosen)
        cursor.moved.connect(self._on_moved)

    def show_trace(self, opened: Opened | None) -> None:
        """Show the turns of a trace; hidden where there is only one."""
        self.turns.set_trace(opened)
        self.setVisible(opened is not None and opened.structure.is_conversation)
        self._on_moved(self._position)

    def keyboardSearch(self, search: str) -> None:
        """Letters are commands."""

    def _on_chosen(self, index: QModelIndex) -> None:
        entry = self.turns.entry(index.row())
        if entry.block >= 0:
            self.blockChosen.emit(entry.block)
        else:
            self.turnChosen.emit(entry.turn)

    def _on_moved(self, position: Position) -> None:
        self._position = position
        if not self.isHidden():
            row = self.turns.row_of(position)
            if row >= 0 and row != self.currentIndex().row():
                self.setCurrentIndex(self.turns.index(row))
