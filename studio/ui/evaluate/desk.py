"""What the Monitors tab shows, read in one go off the GUI thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from studio.domain import Entry
from studio.store import models, monitors, projects, reviewing, thresholds
from studio.store.models import StoredModel
from studio.store.monitors import Kind, Monitor, MonitorState, Scores
from studio.store.thresholds import Truth
from trainer.reasoning.safety import Category, Thresholds


@dataclass(frozen=True, slots=True)
class Desk:
    """Monitors, the scores of those that count, thresholds and their log, and what people said."""

    monitors: tuple[Monitor, ...]
    scored: Scores
    thresholds: Thresholds
    truth: Truth
    log: tuple[Entry, ...]
    names: Mapping[int, str]
    labels: int
    untried: tuple[StoredModel, ...]  # taught here, and nothing was looked at with them yet

    def active(self, kind: Kind) -> Monitor | None:
        """The one of this kind whose word counts."""
        return next((one for one in self.monitors if one.kind is kind and one.state is MonitorState.ACTIVE), None)


def read_desk(c: Connection) -> Desk:
    """Read it."""
    scored = monitors.scores(c)
    everyone = monitors.all_of(c)
    newest = max((one.created_at for one in everyone if one.kind is Kind.CLASSIFIER), default="")
    return Desk(
        everyone,
        scored,
        thresholds.current(c, scored=scored),
        thresholds.truth(c),
        thresholds.log(c),
        {person.id: person.name for person in projects.annotators(c)},
        reviewing.new_labels(c),
        tuple(model for model in models.all_models(c, "monitor") if model.created_at > newest),
    )


def sentence_of(entry: Entry) -> str:
    """A change of thresholds in words."""
    category = Category(entry.new["category"]).value
    role = {"undo": " (taken back)", "redo": " (done again)"}.get(entry.role, "")
    return f"{category}: {_told(entry.old)} → {_told(entry.new)}{role}"


def _told(said: Mapping[str, object]) -> str:
    if "review" not in said:
        return "default"
    block = "" if said.get("block") is None else f", block {said['block']:.3f}"
    return f"review {said['review']:.3f}{block}"
