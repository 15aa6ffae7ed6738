"""A form drawn from a recipe's dataclass: groups, defaults, ranges and help come from its fields alone."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QGridLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from studio.jobs.roles import roles_of
from studio.jobs.user_code import ROLES as CODE_FIELDS
from studio.ui.widgets.code_field import CodeField
from studio.ui.widgets.fields import ChoiceField, ModelField, NumberField, mark_invalid
from studio.ui.widgets.parts import LABEL_WIDTH, Quiet
from trainer.contract.spec import RECIPES, SpecError, Value, build
from trainer.reasoning.grader import GradeForm

Editor = NumberField | ChoiceField | ModelField | CodeField | QCheckBox | QLineEdit
_OWN_SPELLING = {"lora": "LoRA", "id": "id", "prm": "PRM", "kl": "KL", "gae": "GAE"}
_BUILT_IN = {"verifier": tuple(form.value for form in GradeForm)}
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"))


@dataclass(frozen=True, slots=True)
class Invalid:
    """What is wrong with one parameter."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class _Line:
    """The widgets of one parameter."""

    name: str
    kind: type
    default: Value
    advanced: bool
    label: QLabel
    editor: Editor
    help: QLabel
    problem: QLabel


class SpecForm(QWidget):
    """One editor a parameter of `RECIPES[recipe]`, in the groups of its metadata; advanced ones folded away.

    Signals:
        changed: a value was edited (it may be invalid: see `invalid()`).
    """

    changed = Signal()

    def __init__(
        self, recipe: str, *, models: Mapping[str, tuple[str, ...]] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.recipe = recipe
        self._models = models or {}  # ids to offer, by the name of the parameter
        self._roles = {role.name: role for role in roles_of(recipe)}
        self._lines: dict[str, _Line] = {}
        self._more = QToolButton(self)
        self._more.setCheckable(True)
        self._more.setAutoRaise(True)
        self._more.setText("Show advanced settings")
        self._more.setArrowType(Qt.ArrowType.RightArrow)
        self._more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._more.toggled.connect(self._on_more)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(18)
        outer.addWidget(self._more, 0, Qt.AlignmentFlag.AlignLeft)
        self._groups: list[tuple[QFrame, list[str]]] = []
        self._fields = {field.name for field in dataclasses.fields(RECIPES[recipe])}
        hints = typing.get_type_hints(RECIPES[recipe])
        grouped: dict[str, list[dataclasses.Field[typing.Any]]] = {}
        for field in dataclasses.fields(RECIPES[recipe]):
            grouped.setdefault(field.metadata["group"], []).append(field)
        for title, fields in grouped.items():
            outer.addWidget(self._group(title, fields, hints))
        outer.addStretch(1)
        self._on_more(False)
        self._check()

    def values(self) -> dict[str, Value]:
        """Every parameter as it stands in the form, valid or not."""
        return {name: _value(line) for name, line in self._lines.items()}

    def set_values(self, values: Mapping[str, Value]) -> None:
        """Show these values, defaults for the rest; announces the change once."""
        blocked = self.blockSignals(True)
        for name, line in self._lines.items():
            _show(line, values.get(name, line.default))
        self.blockSignals(blocked)
        self._on_edited()

    def invalid(self) -> tuple[Invalid, ...]:
        """What cannot be started as it stands, in the order of the form."""
        return tuple(Invalid(name, line.problem.text()) for name, line in self._lines.items() if line.problem.text())

    def editor(self, name: str) -> Editor:
        """The editor of one parameter."""
        return self._lines[name].editor

    @property
    def last_editor(self) -> Editor:
        """The last one of the form: what comes next on Tab follows it."""
        return next(reversed(self._lines.values())).editor

    def problem_of(self, name: str) -> str:
        """What is wrong with one parameter, empty when nothing is."""
        return self._lines[name].problem.text()

    def show_advanced(self, on: bool) -> None:
        """Unfold or fold the advanced settings."""
        self._more.setChecked(on)

    def _group(self, title: str, fields: list[dataclasses.Field[typing.Any]], hints: dict[str, type]) -> QFrame:
        frame = QFrame(self)
        grid = QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(3)
        grid.setColumnMinimumWidth(0, LABEL_WIDTH)
        grid.setColumnStretch(1, 1)
        heading = QLabel(title, frame)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        grid.addWidget(heading, 0, 0, 1, 2)
        for field in fields:
            self._lines[field.name] = self._line(field, hints[field.name], frame, grid)
        self._groups.append((frame, [f.name for f in fields]))
        return frame

    def _line(self, field: dataclasses.Field[typing.Any], kind: type, frame: QFrame, grid: QGridLayout) -> _Line:
        name, default = label_of(field.name), typing.cast(Value, field.default)
        label = QLabel(name, frame)
        editor = self._editor(field, kind, frame)
        label.setBuddy(editor)
        editor.setAccessibleName(name)
        editor.setAccessibleDescription(field.metadata["help"])
        help_text = Quiet(_help(field, editor), frame)
        problem = QLabel("", frame, wordWrap=True)
        problem.setProperty("role", "error")
        row = grid.rowCount()
        grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        wide = isinstance(editor, ModelField | CodeField)
        grid.addWidget(editor, row, 1, Qt.AlignmentFlag(0) if wide else Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(problem, row + 1, 1)
        grid.addWidget(help_text, row + 2, 1)
        grid.setRowMinimumHeight(row + 3, 8)
        return _Line(field.name, kind, default, field.metadata["advanced"], label, editor, help_text, problem)

    def _editor(self, field: dataclasses.Field[typing.Any], kind: type, parent: QWidget) -> Editor:
        default: typing.Any = field.default
        meta = field.metadata
        if issubclass(kind, bool):
            check = QCheckBox("On", parent)
            check.setChecked(default)
            check.toggled.connect(lambda _on: self._on_edited())
            return check
        if issubclass(kind, StrEnum):
            combo = ChoiceField(parent)
            for member in kind:
                combo.addItem(member.value, member.value)
            combo.setCurrentIndex(combo.findData(default.value))
            combo.currentIndexChanged.connect(lambda _index: self._on_edited())
            return combo
        if issubclass(kind, int | float):
            number = NumberField(
                default,
                whole=issubclass(kind, int),
                low=meta["low"],
                high=meta["high"],
                unit=meta["unit"],
                parent=parent,
            )
            number.changed.connect(self._on_edited)
            return number
        if field.name in self._roles:
            model = ModelField(default, self._models.get(field.name, ()), parent)
            model.changed.connect(self._on_edited)
            return model
        if field.name in CODE_FIELDS:
            own = "reward" in self._fields  # the recipe that takes a reward takes code
            code = CodeField(default, _BUILT_IN.get(field.name, ()), own=own, parent=parent)
            code.changed.connect(self._on_edited)
            return code
        line = QLineEdit(_escaped(default), parent)
        line.setMinimumWidth(130)
        line.textEdited.connect(lambda _text: self._on_edited())
        return line

    def _on_edited(self) -> None:
        self._check()
        self.changed.emit()

    def _check(self) -> None:
        for line in self._lines.values():
            problem = self._problem(line)
            line.problem.setText(problem)
            line.problem.setVisible(bool(problem))
            mark_invalid(line.editor, bool(problem))
            font = line.label.font()
            font.setBold(_value(line) != line.default)
            line.label.setFont(font)

    def _problem(self, line: _Line) -> str:
        name = label_of(line.name)
        if isinstance(line.editor, NumberField):
            problem = line.editor.problem()
            return f"{name}: {problem}." if problem else ""
        role = self._roles.get(line.name)
        if role is not None and role.required and not _value(line):
            return f"Choose {role.wanted}."
        try:
            build(self.recipe, {line.name: _value(line)})
        except SpecError as error:
            return str(error)
        return ""

    def _on_more(self, on: bool) -> None:
        self._more.setText("Hide advanced settings" if on else "Show advanced settings")
        self._more.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        for line in self._lines.values():
            shown = on or not line.advanced
            for widget in (line.label, line.editor, line.help):
                widget.setVisible(shown)
            line.problem.setVisible(bool(line.problem.text()))
        for frame, names in self._groups:
            frame.setVisible(on or any(not self._lines[name].advanced for name in names))


def label_of(name: str) -> str:
    """A parameter's name as people read it: `batch_size` is "Batch size"."""
    words = name.split("_")
    shown = [_OWN_SPELLING.get(word, word) for word in words]
    return (shown[0] if shown[0] in _OWN_SPELLING.values() else shown[0].capitalize()) + "".join(
        f" {word}" for word in shown[1:]
    )


def _help(field: dataclasses.Field[typing.Any], editor: Editor) -> str:
    text = str(field.metadata["help"])
    default = field.default.value if isinstance(field.default, StrEnum) else field.default
    if isinstance(editor, NumberField):
        unit = f" {editor.unit}" if editor.unit else ""
        return f"{text}. Default {default:g}{unit}, {editor.range_text()}."
    if isinstance(editor, QCheckBox):
        return f"{text}. Default {'on' if default else 'off'}."
    shown = _escaped(str(default))
    return f"{text}. Default: {shown}." if shown else f"{text}."


def _value(line: _Line) -> Value:
    editor = line.editor
    if isinstance(editor, NumberField):
        number = editor.number()
        return editor.text_value() if number is None else number
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, ChoiceField):
        return str(editor.currentData())
    if isinstance(editor, ModelField | CodeField):
        return editor.text()
    return _unescaped(editor.text())


def _show(line: _Line, value: Value) -> None:
    editor = line.editor
    if isinstance(editor, NumberField):
        editor.set_number(float(value))
    elif isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, ChoiceField):
        editor.setCurrentIndex(editor.findData(str(value)))
    elif isinstance(editor, ModelField | CodeField):
        editor.set_text(str(value))
    else:
        editor.setText(_escaped(str(value)))


def _escaped(text: str) -> str:
    for plain, shown in _ESCAPES:
        text = text.replace(plain, shown)
    return text


def _unescaped(text: str) -> str:
    out, position = [], 0
    plain = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    while position < len(text):
        pair = text[position : position + 2]
        if len(pair) == 2 and pair[0] == "\\" and pair[1] in plain:
            out.append(plain[pair[1]])
            position += 2
        else:
            out.append(text[position])
            position += 1
    return "".join(out)
