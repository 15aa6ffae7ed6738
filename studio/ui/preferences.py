"""Preferences: each applies at once, there is no OK."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from studio.settings import Theme as ThemeName
from studio.settings import settings_path
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.theme import SCALES


class Preferences(QDialog):
    """Theme, text size, the interpreter of runs, the OTLP receiver, the way to the shortcuts."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._context = context
        self.setWindowTitle("Preferences")
        self.setAccessibleName("Preferences")
        form = QFormLayout()
        form.setVerticalSpacing(14)
        form.setHorizontalSpacing(20)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("&Theme", self._theme_box())
        form.addRow("Text &size", self._scale_box())
        form.addRow("Python of runs", self._interpreter_row())
        form.addRow("Receive spans", self._receiver_column())
        shortcuts = QPushButton("Edit shortcuts…")
        shortcuts.setAutoDefault(False)
        shortcuts.clicked.connect(partial(context.actions.run, "shortcuts"))
        form.addRow("Keys", shortcuts)
        where = QLabel(f"Kept in {settings_path()}")
        where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        where.setWordWrap(True)
        set_role(where, "caption")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 16)
        column.setSpacing(18)
        column.addLayout(form)
        column.addStretch(1)
        column.addWidget(where)
        column.addWidget(buttons)
        self.resize(560, 400)

    def _theme_box(self) -> QComboBox:
        self.theme = QComboBox()
        self.theme.setAccessibleName("Theme")
        for name in ThemeName:
            self.theme.addItem("As the system" if name is ThemeName.SYSTEM else name.value.capitalize(), name.value)
        self.theme.setCurrentIndex(self.theme.findData(self._context.theme.name.value))
        self.theme.activated.connect(self._on_theme)
        return self.theme

    def _scale_box(self) -> QComboBox:
        self.scale = QComboBox()
        self.scale.setAccessibleName("Text size")
        for scale in SCALES:
            self.scale.addItem(f"{scale} %", scale)
        self.scale.setCurrentIndex(self.scale.findData(self._context.theme.scale))
        self.scale.activated.connect(self._on_scale)
        return self.scale

    def _interpreter_row(self) -> QHBoxLayout:
        self.interpreter = QLineEdit(self._context.settings.interpreter)
        self.interpreter.setPlaceholderText("the studio's own")
        self.interpreter.setToolTip("A Python that has the training packages; runs are started with it")
        self.interpreter.setAccessibleName("Python of runs")
        self.interpreter.editingFinished.connect(self._on_interpreter)
        browse = QPushButton("Choose…")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._on_browse)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.interpreter, 1)
        row.addWidget(browse)
        return row

    def _receiver_column(self) -> QVBoxLayout:
        self.receive = QCheckBox("from programs on this machine, at port")
        self.receive.setAccessibleName("Receive spans over OTLP")
        self.receive.setChecked(self._context.settings.otlp_receiver)
        self.receive.toggled.connect(self._on_receiver)
        self.port = QSpinBox()
        self.port.setRange(1, 65_535)
        self.port.setAccessibleName("Port of the OTLP receiver")
        self.port.setValue(self._context.settings.otlp_port)
        self.port.editingFinished.connect(self._on_receiver)
        self.received = QLabel()
        self.received.setWordWrap(True)
        self.received.setTextFormat(Qt.TextFormat.PlainText)
        self.received.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self.received, "caption")
        self._context.receiving.changed.connect(self._show_receiver)
        self._show_receiver()
        row = QHBoxLayout()
        row.addWidget(self.receive)
        row.addWidget(self.port)
        row.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.received)
        return column

    def _on_receiver(self) -> None:
        settings, wanted = self._context.settings, (self.receive.isChecked(), self.port.value())
        if wanted != (settings.otlp_receiver, settings.otlp_port):
            settings.update(otlp_receiver=wanted[0], otlp_port=wanted[1])
            self._context.receiving.apply()

    def _show_receiver(self) -> None:
        self.received.setText(self._context.receiving.about)

    def _on_theme(self) -> None:
        name = ThemeName(self.theme.currentData())
        self._context.settings.update(theme=name)
        self._context.theme.use(name)

    def _on_scale(self) -> None:
        scale = int(self.scale.currentData())
        self._context.settings.update(scale=scale / 100)
        self._context.theme.zoom(scale)

    def _on_interpreter(self) -> None:
        self._context.settings.update(interpreter=self.interpreter.text().strip())

    def _on_browse(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Python of runs")
        if chosen:
            self.interpreter.setText(chosen)
            self._on_interpreter()
