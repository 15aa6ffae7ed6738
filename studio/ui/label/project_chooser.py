"""Choose the project whose queue is worked off."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QWidget

from studio.domain import Project
from studio.store import projects
from studio.ui.context import Context
from studio.ui.popup_list import Entry, PopupList


def choose_project(context: Context, parent: QWidget, chosen: Callable[[int], None]) -> None:
    """Open the list of projects over the window; `chosen` gets the id of the one that was taken."""

    def show(found: tuple[Project, ...]) -> None:
        popup = PopupList(context.theme, "Choose project", "Name of a project", parent.window())
        icon = context.theme.icon("project", "secondary")

        def fill(text: str) -> None:
            wanted = text.lower().strip()
            fitting = tuple(p for p in found if wanted in p.name.lower())
            entries = tuple(Entry(str(p.id), p.name, f"{p.traces:,} traces", icon) for p in fitting)
            popup.fill(entries, "" if entries else "No project has this name.")

        popup.typed.connect(fill)
        popup.taken.connect(lambda id: chosen(int(id)))
        fill("")
        popup.show()
        popup.line.setFocus()

    context.background.read(parent, projects.all_projects, show, context.fail)
