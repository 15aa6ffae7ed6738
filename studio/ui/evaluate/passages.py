"""A finding in its surroundings: the quote as it stands in the trace, and what it clashes with beside it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from studio.render.prose import visible
from studio.store.reviewing import Case, Passage
from studio.ui.dialogs import set_role
from studio.ui.theme import Theme
from trainer.reasoning.safety import Part

OTHER = {Part.THINKING: Part.ANSWER, Part.ANSWER: Part.THINKING}


class PassageView(QFrame):
    """One span of a trace with the text around it; nothing in it is interpreted."""

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._shown: tuple[str, Passage] | None = None
        self.setProperty("card", True)
        self.title = QLabel(name, self)
        set_role(self.title, "caption")
        self.box = QPlainTextEdit(self)
        self.box.setReadOnly(True)
        self.box.setFrameShape(QFrame.Shape.NoFrame)
        self.box.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.box.setAccessibleName(name)
        self.box.setStyleSheet("QPlainTextEdit { border: none; background: transparent; }")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 6, 6)
        column.setSpacing(4)
        column.addWidget(self.title)
        column.addWidget(self.box, 1)

    @property
    def quoted(self) -> str:
        """The marked text as it is drawn."""
        return "" if self._shown is None else visible(self._shown[1].quote)

    def show_passage(self, title: str, passage: Passage) -> None:
        """Show a span; the view stands at its beginning."""
        self._shown = (title, passage)
        self.title.setText(title)
        self.box.setAccessibleName(f"{title}: {visible(passage.quote)[:200]}")
        self.box.clear()
        cursor = self.box.textCursor()
        colours = self._theme.colours
        plain, marked = QTextCharFormat(), QTextCharFormat()
        plain.setForeground(colours.q("secondary"))
        marked.setBackground(colours.q("neutral_soft" if self._theme.is_dark else "accent_soft"))
        marked.setForeground(colours.q("text"))
        marked.setFontWeight(QFont.Weight.DemiBold)
        marked.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        marked.setUnderlineColor(colours.q("accent"))
        cursor.insertText(("… " if passage.more_before else "") + visible(passage.before), plain)
        start = cursor.position()
        cursor.insertText(visible(passage.quote), marked)
        end = cursor.position()
        cursor.insertText(visible(passage.after) + (" …" if passage.more_after else ""), plain)
        self._stand_at(start, end)

    def restyle(self) -> None:
        """Take the colours of the theme."""
        if self._shown is not None:
            self.show_passage(*self._shown)

    def _stand_at(self, start: int, end: int) -> None:
        """Some lines above the quote stay in view."""
        cursor = self.box.textCursor()
        cursor.setPosition(end)
        self.box.setTextCursor(cursor)
        self.box.ensureCursorVisible()
        cursor.setPosition(start)
        self.box.setTextCursor(cursor)
        self.box.centerCursor()
        cursor.movePosition(QTextCursor.MoveOperation.StartOfLine)


class CaseView(QWidget):
    """The passages of a finding: one, or two side by side."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.case: Case | None = None
        self.first, self.second = PassageView(theme, "Evidence", self), PassageView(theme, "Counterpart", self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.first, 1)
        row.addWidget(self.second, 1)
        theme.switched.connect(self._on_theme)

    def show_case(self, case: Case) -> None:
        """Show a finding; thinking stands left of the answer."""
        self.case = case
        own, other = (case.flag.part, case.quote), case.other
        if other is None:
            self.first.show_passage(own[0].value.capitalize(), own[1])
            self.second.hide()
            return
        pair = sorted((own, (OTHER[own[0]], other)), key=lambda each: each[0] is not Part.THINKING)
        for view, (part, passage) in zip((self.first, self.second), pair, strict=True):
            view.show_passage(part.value.capitalize(), passage)
        self.second.show()

    def _on_theme(self) -> None:
        self.first.restyle()
        self.second.restyle()
