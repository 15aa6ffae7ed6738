"""From Inspect to Label: a trace is rated in a project that has it, at the step one was reading."""

from __future__ import annotations

from collections.abc import Callable

from studio.store import batches, projects, traces
from studio.ui.actions import Page
from tests.e2e.seat import ALGEBRA, Seat


def test_a_trace_of_another_project_opens_there_at_its_step(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        database = seat.context.workspace.database
        other = database.run(lambda c: projects.create(c, "Geometry"))
        batch = database.run(lambda c: batches.begin(c, "sample", other.id))
        new = traces.from_steps("How long is the side?", ALGEBRA)
        added = database.run(lambda c: traces.add(c, new, batch_id=batch, project_id=other.id))
        database.run(lambda c: batches.publish(c, batch, {}))
        seat.context.open_trace(Page.LABEL, added.trace_id, 2)
        seat.wait(lambda: seat.work.trace.id == added.trace_id)
        seat.wait_painted()
        assert seat.page.header.project.text() == "Geometry"
        assert seat.work.current == 2
        assert not seat.page.problem.wrong.isVisible()  # it has no reference answer


def test_a_trace_of_no_project_says_where_to_go(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        before = seat.work.trace.id
        database = seat.context.workspace.database
        batch = database.run(lambda c: batches.begin(c, "sample"))
        added = database.run(lambda c: traces.add(c, traces.from_steps("Alone", ALGEBRA), batch_id=batch))
        database.run(lambda c: batches.publish(c, batch, {}))
        seat.context.open_trace(Page.LABEL, added.trace_id)
        seat.wait(lambda: "in no project" in seat.said())
        assert seat.work.trace.id == before
        assert seat.page.is_painted
