"""An address that a reasoning model answers at: where, which model, what it speaks, and the name of its key."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QWidget

from studio.ui.play.values import Address
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import Quiet
from trainer.contract import keys
from trainer.contract.specs.route import Speaks


class AddressFields(QWidget):
    """Fields of one address. A key is named here, never written: `steplens key set NAME` keeps it.

    Signals:
        changed(): something was edited.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.url, self.model, self.key, self.speaks = QLineEdit(), QLineEdit(), QLineEdit(), ChoiceField()
        for speaks in Speaks:
            self.speaks.addItem(speaks.value, speaks.value)
        self.url.setPlaceholderText("http://127.0.0.1:8000/v1")
        self.key.setPlaceholderText("none; else as in: steplens key set NAME")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        fields = (("Address", self.url), ("Model", self.model), ("Speaks", self.speaks), ("Key name", self.key))
        for row, (name, widget) in enumerate(fields):
            widget.setAccessibleName(f"{name} of the reasoning model")
            grid.addWidget(Quiet(name), row, 0)
            grid.addWidget(widget, row, 1)
        for line in (self.url, self.model, self.key):
            line.textChanged.connect(lambda _text: self.changed.emit())
        self.speaks.currentIndexChanged.connect(lambda _index: self.changed.emit())

    @property
    def address(self) -> Address:
        """As it stands."""
        url, model, key = (line.text().strip() for line in (self.url, self.model, self.key))
        return Address(url, model, key, str(self.speaks.currentData()))

    def set_address(self, address: Address) -> None:
        """Show this one."""
        for line, text in ((self.url, address.url), (self.model, address.model), (self.key, address.key)):
            line.setText(text)
        self.speaks.setCurrentIndex(self.speaks.findData(address.speaks))

    def missing(self) -> str:
        """What must still be given, as a sentence; empty when it can be asked."""
        address = self.address
        if not address.url.startswith(("http://", "https://")):
            return "The reasoning model needs an address: http://HOST:PORT/v1, or https://."
        if not address.model:
            return "Write the model's name at that address."
        if address.key and not keys.is_name(address.key):
            return "That is no name of a key: keep the key with `steplens key set NAME`, and write NAME here."
        return ""
