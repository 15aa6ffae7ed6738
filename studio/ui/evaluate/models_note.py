"""Whether a model may have learned the problems that it is measured on: a note beside the results."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from studio.errors import CancelledError, SteplensError
from studio.jobs import suite_contamination
from studio.jobs.contamination import THRESHOLD, Contamination, Progress
from studio.store.evaluations import Cell
from studio.ui.widgets.parts import Quiet, plural, set_property
from studio.workspace import Workspace
from trainer.contract.specs.evaluate import heading_of

if TYPE_CHECKING:
    from studio.ui.context import Context


class LearnedNote(Quiet):
    """One line about the chosen cell; compared once for each model and suite."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self._context = context
        self._asked = 0
        self._known: dict[tuple[str, str, int], Contamination | str] = {}

    def show_cell(self, cell: Cell | None) -> None:
        """Say it of this cell."""
        self._asked += 1
        if cell is None:
            self._say("")
            return
        key = (cell.key.suite, cell.key.version, cell.problems)
        if key in self._known:
            self._show(self._known[key])
            return
        asked, workspace, name = self._asked, self._context.workspace, cell.key.model or cell.key.prm
        self._say("Looking whether it learned these problems …")

        def tell(_phase: str, _done: int, _total: int) -> None:
            if asked != self._asked:
                raise CancelledError("another cell is chosen")

        def work() -> Contamination | str:
            return _compared(workspace, cell.key.suite, cell.key.version, name, tell)

        self._context.background.call(self, work, partial(self._on_known, asked, key), partial(self._on_failed, asked))

    def _on_known(self, asked: int, key: tuple[str, str, int], found: Contamination | str) -> None:
        self._known[key] = found
        if asked == self._asked:
            self._show(found)

    def _on_failed(self, asked: int, error: Exception) -> None:
        if isinstance(error, CancelledError):
            return
        if not isinstance(error, SteplensError):
            self._context.fail(error)
        elif asked == self._asked:
            self._say(f"Contamination cannot be told: {error}")

    def _show(self, found: Contamination | str) -> None:
        if isinstance(found, str):
            self._say(found)
        else:
            self._say(sentence(found), warns=bool(found.pairs), tip="\n".join(found.sentences()))

    def _say(self, text: str, *, warns: bool = False, tip: str = "") -> None:
        self.setText(text)
        self.setToolTip(tip)
        set_property(self, "role", "warning" if warns else "caption")


def sentence(found: Contamination) -> str:
    """What was found, in a line."""
    whole = f"{plural(found.benchmark, 'problem')} of {heading_of(found.against)}"
    unknown = f" What {found.outside[0]} learned is not known." if found.outside else ""
    if not found.pairs:
        return f"Contamination: none of the {whole} is among the {found.problems:,} of {found.of}.{unknown}"
    where = ", ".join(f"run {source.name!r}" for source in found.sources if source.found)
    return (
        f"⚠ Contamination: of the {whole}, {found.equal:,} stand word for word in {found.of} and {found.near:,} nearly "
        f"(at least {THRESHOLD:.0%} of their runs of words): in {where}.{unknown}"
    )


def _compared(workspace: Workspace, suite: str, version: str, name: str, tell: Progress) -> Contamination | str:
    run = suite_contamination.trained_by(workspace, version)
    if run is None:
        return f"Contamination: {name} was not trained in this workspace, so what it has seen is not known here."
    return suite_contamination.against_suite(workspace, suite, run, tell=tell)
