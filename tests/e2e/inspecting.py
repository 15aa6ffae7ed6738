"""What the stories of the Inspect page begin with: rated traces, some of them scored."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QApplication, QWidget
from sqlalchemy import Connection, select

from studio.exchange.sample import make_competition
from studio.settings import Theme
from studio.store import annotations, batches, projects, runs, scores, traces
from studio.store.schema import trace
from studio.ui.actions import Page
from studio.ui.inspect.page import InspectPage
from studio.workspace import Workspace
from tests.e2e.seat import PICTURES, Seat
from trainer.contract.records import ScoreRecord, ScorerRef

DOMAIN = "Competition mathematics"


def fill(folder: Path) -> None:
    """The competition problems, with two PRMs' scores of the first twenty traces."""
    with Workspace.open(folder, create=True) as workspace:
        make_competition(workspace.database)
        with workspace.database.read() as c:
            name = projects.all_projects(c)[0].name
        workspace.database.run(lambda c: store_scores(c, "prm-03", "a" * 64, name, 20, shift=0.0))
        workspace.database.run(lambda c: store_scores(c, "stories-01", "b" * 64, "Arithmetic stories", 6, shift=0.25))


def store_scores(c: Connection, name: str, version: str, domain: str, count: int, *, shift: float) -> None:
    """Scores near what people said: 0.9 before the first error, low at and after it."""
    run = runs.prepare(c, uid=name.rjust(32, "0"), name=name, recipe="score", device="cpu", host="here", process="")
    batch = batches.begin(c, "ingest", source=name, run_id=run)
    for number, uid in enumerate(c.scalars(select(trace.c.uid).order_by(trace.c.id).limit(count)).all()):
        trace_id = c.scalar(select(trace.c.id).where(trace.c.uid == uid))
        length = len(traces.load(c, trace_id).segmentation.steps)
        said = annotations.of_trace(c, trace_id)
        error = next((a.first_negative for a in said if a.first_negative is not None), length)
        values = tuple(
            max(
                0.02,
                min(0.99, (0.93 - 0.02 * n if n < error else 0.15 + 0.03 * n) - shift + 0.05 * ((n * 7 + number) % 3)),
            )
            for n in range(length)
        )
        scorer = ScorerRef(name=name, version=version, domain=domain)
        record = ScoreRecord(
            id=f"{name}:{uid}", row=f"{uid}:1", trace=uid, segmentation=1, scorer=scorer, values=values
        )
        scores.store_records(c, batch, [record])
    batches.publish(c, batch, {})


def go_to_inspect(seat: Seat) -> InspectPage:
    """Show the page and wait until its list has come."""
    seat.context.show_page(Page.INSPECT)
    page = seat.window.page_widget(Page.INSPECT)
    assert isinstance(page, InspectPage)
    seat.wait(lambda: page.shown is not None and page.gate.is_open)
    return page


def first_disputed(page: InspectPage) -> int | None:
    """The first step people and the PRM disagree on."""
    assert page.shown is not None
    return next((n for n in range(page.shown.count) if page.shown.is_disputed(n)), None)


def both_themes(seat: Seat, name: str, widget: QWidget | None = None) -> None:
    """Pictures in light and dark."""
    for theme in (Theme.DARK, Theme.LIGHT):
        seat.studio.theme.use(theme)
        QApplication.processEvents()
        if widget is None:
            seat.picture(f"{name} {theme.value}")
        else:
            PICTURES.mkdir(exist_ok=True)
            widget.grab().save(str(PICTURES / f"{name} {theme.value}.png"))
