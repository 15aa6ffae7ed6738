"""What the stories of monitors begin with: traces whose answer belies their thinking, and what was found in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from studio.helpers.looking import look
from studio.store import batches, flag_words, flags, monitor_records, projects, reviewing, traces
from studio.store import schema as s
from studio.store.flags import FlagState
from studio.ui.actions import Page
from studio.ui.evaluate.page import EvaluatePage
from studio.workspace import Workspace
from tests.e2e.seat import Seat
from trainer.contract.records import MonitorRecord, MonitorRef
from trainer.reasoning.safety import CATEGORIES, Category

SHADOW = MonitorRef(kind="classifier", name="words-02", version="2" * 16, training="b" * 16)
ACTIVE = MonitorRef(kind="classifier", name="words-01", version="1" * 16, training="a" * 16)


def steps_of(number: int, *, altered: bool) -> list[str]:
    """A thinking and an answer; an altered answer is off by two."""
    apples = number + 5
    return [
        f"<think>\nAda has {number} apples and gets 5 more.",
        f"So she has {number} + 5 = {apples} apples in the end.",
        f"The answer is {apples}.\n</think>",
        f"Adding the 5 apples to the {number} that she had gives {apples + 2 if altered else apples}.",
        f"The answer is {apples + 2 if altered else apples}.",
    ]


def fill(folder: Path, *, count: int = 12, checked: bool = True) -> tuple[int, ...]:
    """Traces in the project Apples, every other one altered; with what the exact checks find, unless told otherwise."""
    made: list[int] = []
    with Workspace.open(folder, create=True) as workspace:
        with workspace.database.write() as c:
            project = projects.create(c, "Apples")
            batch = batches.begin(c, "sample", project.id, "written for a test")
            for number in range(count):
                steps = steps_of(number + 2, altered=number % 2 == 0)
                new = traces.from_steps(f"Ada has {number + 2} apples and gets 5. How many?", steps, line=number)
                made.append(traces.add(c, new, batch_id=batch, project_id=project.id).trace_id)
            batches.publish(c, batch, {})
        if checked:
            with workspace.database.write() as c:
                for trace_id in made:
                    found = look(reviewing.row_of(c, trace_id))
                    reviewing.store_check(c, trace_id, found.found, found.scored)
    return tuple(made)


def score(c: Connection, ref: MonitorRef, trace_ids: tuple[int, ...], *, seed: int = 0) -> None:
    """Scores of inconsistency by a classifier: high for altered traces, with some noise."""
    noise = np.random.default_rng(seed).normal(0, 0.12, len(trace_ids))
    batch, records = batches.begin(c, "ingest", source=ref.name), []
    for number, trace_id in enumerate(trace_ids):
        uid = str(c.scalar(select(s.trace.c.uid).where(s.trace.c.id == trace_id)))
        value = float(np.clip((0.85 if number % 2 == 0 else 0.2) + noise[number], 0, 1))
        row = tuple(value if one is Category.INCONSISTENCY else None for one in CATEGORIES)
        nothing = (None,) * len(CATEGORIES)
        records.append(
            MonitorRecord(
                id=f"{ref.name}:{uid}",
                row=uid,
                trace=uid,
                segmentation=1,
                monitor=ref,
                scores=(row, row, nothing),
                gap="",
                evidence=(Category.INCONSISTENCY.value,),
            )
        )
    monitor_records.store_scores(c, batch, records)
    batches.publish(c, batch, {})


def review_all(folder: Path, trace_ids: tuple[int, ...]) -> None:
    """Confirm the flags of altered traces, call the others clean, and have two classifiers score them all."""
    with Workspace.open(folder) as workspace, workspace.database.write() as c:
        me = projects.ensure_annotator(c, "Bo")
        score(c, ACTIVE, trace_ids, seed=1)
        score(c, SHADOW, trace_ids, seed=2)
        for number, trace_id in enumerate(trace_ids):
            for flag in flags.of_trace(c, trace_id):
                flag_words.review(c, flag.id, FlagState.CONFIRMED, me.id)
            if number % 2:
                flag_words.mark_clean(c, trace_id, me.id)


def go_to_evaluate(seat: Seat) -> EvaluatePage:
    """Show the page and wait until the monitors have come."""
    seat.context.show_page(Page.EVALUATE)
    page = seat.window.page_widget(Page.EVALUATE)
    assert isinstance(page, EvaluatePage)
    page.show_tab("Monitors")
    seat.wait(lambda: page.monitors.desk is not None)
    return page
