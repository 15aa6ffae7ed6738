"""Write a table as CSV or Markdown, and what is shown as PNG or SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QFileDialog, QWidget

from studio.exchange import results
from studio.store.evaluations import Cell

if TYPE_CHECKING:
    from studio.ui.context import Context

SCALE = 2.0
CSS_DPI = 96
Texts = Mapping[str, Callable[[], str]]
"""What makes the text of a table, by the ending of the file."""
FORMS = {
    ".csv": "Table, a line a cell (*.csv)",
    ".md": "Table in Markdown (*.md)",
    ".png": "Picture of what is shown (*.png)",
    ".svg": "Drawing of what is shown (*.svg)",
}


def ask(context: Context, parent: QWidget, stem: str, texts: Texts, shown: QWidget) -> QFileDialog:
    """Ask for a file in one of the forms, and write it."""
    dialog = QFileDialog(parent, "Export")
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters([*FORMS.values()])
    dialog.setDefaultSuffix(".csv")
    dialog.selectFile(f"{stem}.csv")

    def follow(form: str) -> None:
        """The name gets the ending of the form that is chosen: before it is asked whether to replace that file."""
        ending = next(each for each, name in FORMS.items() if name == form)
        dialog.setDefaultSuffix(ending)
        named = Path(dialog.selectedFiles()[0])
        if named.suffix.lower() in FORMS:
            dialog.selectFile(named.with_suffix(ending).name)

    def put(name: str) -> None:
        path = Path(name)
        if path.suffix.lower() not in FORMS:
            context.say(f"{path.name} is not written: its name ends in none of {', '.join(FORMS)}")
            return
        try:
            write(path, texts, shown)
        except OSError as error:
            context.fail(error)
            return
        context.say(f"{path} is written")

    dialog.filterSelected.connect(follow)
    dialog.fileSelected.connect(put)
    dialog.open()
    return dialog


def texts_of(cells: Sequence[Cell]) -> Texts:
    """The results table as CSV and Markdown."""
    return {".csv": lambda: results.as_csv(cells), ".md": lambda: results.markdown(cells)}


def write(path: Path, texts: Texts, shown: QWidget) -> None:
    """Write a file in the form of its ending. Raises OSError."""
    ending = path.suffix.lower()
    if ending in texts:
        path.write_text(texts[ending](), "utf-8")
    elif ending == ".png":
        _png(path, shown)
    else:
        _svg(path, shown)


def _png(path: Path, shown: QWidget) -> None:
    image = QImage(QSize(round(shown.width() * SCALE), round(shown.height() * SCALE)), QImage.Format.Format_ARGB32)
    image.setDevicePixelRatio(SCALE)
    image.fill(shown.palette().window().color())
    shown.render(image, QPoint(0, 0))
    if not image.save(str(path)):
        raise OSError(f"{path} could not be written; is the folder there and writable?")


def _svg(path: Path, shown: QWidget) -> None:
    from PySide6.QtSvg import QSvgGenerator

    made = QSvgGenerator()
    made.setFileName(str(path))
    made.setResolution(CSS_DPI)  # or letters would be of another size beside lines than on the screen
    made.setSize(shown.size())
    made.setViewBox(QRect(QPoint(0, 0), shown.size()))
    made.setTitle(shown.accessibleName())
    made.setDescription(shown.accessibleDescription())
    painter = QPainter()
    if not painter.begin(made):
        raise OSError(f"{path} could not be written; is the folder there and writable?")
    try:
        shown.render(painter, QPoint(0, 0))
    finally:
        painter.end()
