"""The devices of this machine: how full each is, who holds it, and Free; and the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QPalette, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from studio.jobs import devices
from studio.jobs.devices import Device, Machine
from studio.jobs.values import RunView
from studio.ui.widgets.parts import Quiet, blend, button, size_text

if TYPE_CHECKING:
    from studio.ui.context import Context

LOOK_MS = 2000


class MemoryBar(QWidget):
    """How much of a device's memory is taken."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._share = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_device(self, device: Device) -> None:
        """Take the figures of a device."""
        used = device.memory_total - device.memory_free
        self._share = used / device.memory_total if device.memory_total else 0.0
        self.setAccessibleName(f"Memory of {device.id}: {size_text(used)} of {size_text(device.memory_total)} taken")
        self.setToolTip(self.accessibleName())
        self.update()

    def sizeHint(self) -> QSize:
        """A short flat bar."""
        return QSize(120, 8)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A rounded track and what is taken of it."""
        text, window = (self.palette().color(role) for role in (QPalette.ColorRole.Text, QPalette.ColorRole.Window))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(blend(text, window, 0.14))
        painter.drawRoundedRect(QRectF(self.rect()), 4, 4)
        painter.setBrush(self.palette().color(QPalette.ColorRole.Accent))
        painter.drawRoundedRect(QRectF(0, 0, max(8.0, self.width() * self._share), self.height()), 4, 4)


class DeviceLine(QWidget):
    """One device.

    Signals:
        freeAsked(int): pause the run that holds it.
    """

    freeAsked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._holder: RunView | None = None
        self.name = QLabel("", self)
        self.bar = MemoryBar(self)
        self.text = Quiet("", self)
        self.text.setWordWrap(False)
        self.free = button(
            "Free", self._on_free, tip="Pause the run: a checkpoint, then the device is free", parent=self
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.name)
        row.addWidget(self.bar)
        row.addWidget(self.text)
        row.addWidget(self.free)

    def show_device(self, device: Device, holder: RunView | None) -> None:
        """Show the device as it is now."""
        self._holder = holder
        self.name.setText(device.id)
        self.name.setToolTip(device.name)
        self.bar.show_device(device)
        used = device.memory_total - device.memory_free
        who = f"held by {holder.name}" if holder is not None else "free for a run"
        self.text.setText(f"{size_text(used)} of {size_text(device.memory_total)} · {who}")
        self.text.setToolTip(device.name)
        self.free.setVisible(holder is not None and holder.can_pause)

    def _on_free(self) -> None:
        if self._holder is not None:
            self.freeAsked.emit(self._holder.id)


class DeviceHeader(QWidget):
    """All devices and the disk; looked at every two seconds while it is seen."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._machine: Machine | None = None
        self._asked = False
        self.lines: list[DeviceLine] = []
        self.disk = Quiet("", self)
        self.disk.setWordWrap(False)
        self._column = QVBoxLayout()
        self._column.setSpacing(4)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(20)
        row.addLayout(self._column)
        row.addWidget(self.disk, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.refresh)

    def names(self) -> tuple[str, ...]:
        """The devices a run can be ordered for."""
        if self._machine is None:
            return (devices.CPU,)
        found = tuple(device.id for device in self._machine.devices)
        return (*(d for d in found if d != devices.CPU), devices.CPU)

    def refresh(self) -> None:
        """Look again, in the background."""
        if not self._asked:
            self._asked = True
            path = self._context.workspace.path
            self._context.background.call(self, lambda: devices.machine(path), self._show, self._on_failed)

    def showEvent(self, event: QShowEvent) -> None:
        """Look while it is seen."""
        super().showEvent(event)
        self._timer.start()
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks."""
        super().hideEvent(event)
        self._timer.stop()

    def _show(self, machine: Machine) -> None:
        self._asked = False
        self._machine = machine
        holders = {view.device: view for view in self._context.jobs.runs() if view.state.holds_device}
        while len(self.lines) < len(machine.devices):
            line = DeviceLine(self)
            line.freeAsked.connect(self._on_free)
            self._column.addWidget(line, 0, Qt.AlignmentFlag.AlignLeft)
            self.lines.append(line)
        for line, device in zip(self.lines, machine.devices, strict=False):
            line.show_device(device, holders.get(device.id))
        self.disk.setText(f"disk: {size_text(machine.disk_free)} free")

    def _on_failed(self, error: Exception) -> None:
        self._asked = False
        self.disk.setText(f"the devices cannot be read: {error}")

    def _on_free(self, run_id: int) -> None:
        jobs = self._context.jobs
        self._context.background.call(self, lambda: jobs.pause(run_id), lambda _none: self.refresh())
