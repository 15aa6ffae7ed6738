"""A choice among the models of the workspace, each by a name that tells it apart, and of folders on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from studio.store.models import StoredModel
from studio.ui.train.words import local_time
from studio.ui.widgets.fields import ChoiceField


class ModelChoice(ChoiceField):
    """Its data are uids, or folders. `first` is the name that stands first, `none` what stands for no model.

    Signals:
        lost(str, str): the model that was chosen (its name) is not there any more, and this one is chosen instead.
    """

    lost = Signal(str, str)

    def __init__(
        self,
        *,
        first: str = "",
        none: str = "",
        more: tuple[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._first, self._none, self._more = first, none, more
        self._names: dict[str, str] = {}  # of models, by uid
        self._folders: list[str] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(self._on_index)

    def show_models(self, known: Sequence[StoredModel]) -> None:
        """Offer these; what was chosen stays chosen."""
        chosen, shown = self.currentData(), self.currentText()
        self._names = {model.uid: model.name for model in known}
        with QSignalBlocker(self):
            self.clear()
            for model in sorted(known, key=lambda each: (each.name != self._first, -each.id)):
                self.addItem(told_apart(model, known), model.uid)
            for folder in self._folders:
                self.addItem(called(folder), folder)
            if self._more is not None:
                self.addItem(*self._more)
            if self._none:
                self.addItem(self._none, "")
            place = self.findData(chosen) if chosen is not None else -1
            default = self.count() - 1 if self._none and not self._first else 0
            self.setCurrentIndex(place if place >= 0 else default)
        if chosen and place < 0:
            self.lost.emit(shown, self.currentText())

    def choose_name(self, name: str) -> bool:
        """Take the newest model of this name; False where there is none."""
        uid = next((each for each, said in self._names.items() if said == name), None)
        if uid is None:
            return False
        self.setCurrentIndex(self.findData(uid))
        return True

    def choose(self, value: str) -> bool:
        """Take the model with this uid or folder; False where it is neither offered nor on disk."""
        if value and self.findData(value) < 0 and Path(value).is_dir():
            self.offer_folder(value)
        if (place := self.findData(value)) < 0:
            return False
        self.setCurrentIndex(place)
        return True

    def offer_folder(self, folder: str) -> None:
        """Offer a model on disk behind those of the workspace."""
        if self.findData(folder) < 0:
            place = len(self._names) + len(self._folders)
            self._folders.append(folder)
            self.insertItem(place, called(folder), folder)

    def _on_index(self, index: int) -> None:
        """Say where a model on disk lies."""
        value = self.itemData(index)
        self.setToolTip(value if value in self._folders else "")


def called(folder: str) -> str:
    """A folder on disk in short, with the one that it lies in: "hf" and "checkpoint-500" say little alone."""
    return "/".join(Path(folder).parts[-2:])


def told_apart(model: StoredModel, known: Sequence[StoredModel]) -> str:
    """Its name, with the time it was made and a piece of its uid as far as others are called alike."""
    alike = [each for each in known if each.name == model.name]
    if len(alike) == 1:
        return model.name
    made = local_time(model.created_at)
    same = sum(local_time(each.created_at) == made for each in alike)
    return f"{model.name}, {made}" + ("" if same == 1 else f" · {model.uid[:6]}")
