"""A person drops a folder of logs on the window, looks into them, reads a trace from the file, then imports."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot
from sqlalchemy import func, select

from studio.store import schema as s
from studio.ui.data.import_dialog import ImportDialog, Stage
from tests.e2e.data_desk import click, data_page, picture
from tests.e2e.seat import Seat
from tests.unit.exchange.archives import log, sample


def dropped(seat: Seat, path: Path) -> None:
    """Drop a file or folder on the window."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    seat.window.dropEvent(QDropEvent(QPointF(50, 50), copy, data, left, Qt.KeyboardModifier.NoModifier))


def foreign_traces(seat: Seat) -> int:
    with seat.context.workspace.database.read() as c:
        return c.scalar(select(func.count()).select_from(s.trace).where(s.trace.c.log_id.is_not(None))) or 0


def test_a_dropped_folder_is_looked_into_and_then_imported(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for at in range(2):
        said = "<think>Is it <b>bold</b>?\n\nNo.</think>Four, "
        log(logs / f"{at}.eval", {f"samples/{n}_epoch_1.json": sample(n, f"{said}{at}{n}") for n in range(3)})
    (logs / "broken.eval").write_bytes(b"PK\x03\x04")
    with Seat(qtbot, folder) as seat:
        page = data_page(seat)
        dropped(seat, logs)
        seat.wait(lambda: page.import_dialog is not None)
        dialog = page.import_dialog
        assert isinstance(dialog, ImportDialog)
        preview = dialog.preview
        seat.wait(lambda: preview.text.toPlainText() != "")
        assert dialog.stage is Stage.LOOKING
        assert "Is it <b>bold</b>?" in preview.text.toPlainText()
        assert [preview.files.item(at).text().split()[0] for at in range(3)] == ["0.eval", "1.eval", "broken.eval"]
        assert "without header.json" in preview.files.item(2).text()
        preview.files.setCurrentRow(1)
        seat.wait(lambda: "Four, 10" in preview.text.toPlainText())
        preview.table.selectRow(2)
        seat.wait(lambda: "Four, 12" in preview.text.toPlainText())
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            picture(dialog, f"look-before-import-{name}")
        assert foreign_traces(seat) == 0
        preview.files.setCurrentRow(2)
        seat.wait(lambda: "without header.json" in preview.text.toPlainText())
        dialog.start_import()
        click(dialog.stop)  # Cancel: what was looked into is there again
        seat.wait(lambda: dialog.stage is Stage.LOOKING and dialog.go.isEnabled())
        assert preview.isVisible()
        assert foreign_traces(seat) == 0
        dialog.steps.setFocus()
        qtbot.keyClick(dialog.steps, Qt.Key.Key_Down)
        assert dialog.steps.currentText().startswith("By lines")
        click(dialog.go)
        seat.wait(lambda: dialog.stage is Stage.DONE)
        assert foreign_traces(seat) == 6
        assert dialog.report.verdict.text() == "6 rows imported, 1 row broken."
        assert "broken.eval" in dialog.report.text()
        assert "cut by lines 6" in dialog.report.text()
        assert seat.context.settings.steps_by == "lines", "the next import begins with what was chosen"
        with seat.context.workspace.database.read() as c:
            cut = c.scalars(select(s.segmentation.c.method).join(s.trace).where(s.trace.c.log_id.is_not(None)))
            assert set(cut) == {"lines"}
