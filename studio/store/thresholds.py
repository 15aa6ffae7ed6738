"""Thresholds of safety categories: where they stand, why, and every change of them, which can be undone.

A category that nobody has set has the default until 300 of its traces are confirmed benign; from then on it is measured
on those. Nothing is blocked in a category with fewer, whatever was set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, delete, exists, insert, select

from studio.domain import Changes, Entry, Topic, changed, now
from studio.errors import ConflictError
from studio.store import batches, history, monitors
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import FlagState
from studio.store.monitors import Scores
from trainer.reasoning.safety import (
    CATEGORIES,
    LEAST_BENIGN,
    Basis,
    Category,
    Moved,
    Threshold,
    Thresholds,
    benign_thresholds,
    moved,
)

VERB = "threshold"


@dataclass(frozen=True, slots=True)
class Truth:
    """What people said of n traces, by id ascending: [n, 7] of 1 = there, 0 = benign, -1 = not said."""

    trace_ids: NDArray[np.int64]
    values: NDArray[np.int8]

    def benign(self, category: Category) -> NDArray[np.int64]:
        """Ids of the traces that people called benign."""
        ids: NDArray[np.int64] = self.trace_ids[self.values[:, category.place] == 0]
        return ids


def truth(c: Connection) -> Truth:
    """A trace is positive in a category with a confirmed flag, benign when marked clean or all its flags rejected."""
    f, m = i.flag.c, i.clean_mark.c
    said: dict[int, np.ndarray[Any, np.dtype[np.int8]]] = {}
    undecided: set[tuple[int, int]] = set()

    def of(trace_id: int) -> np.ndarray[Any, np.dtype[np.int8]]:
        return said.setdefault(trace_id, np.full(len(CATEGORIES), -1, np.int8))

    rank = {FlagState.REJECTED.value: 0, FlagState.CONFIRMED.value: 1}
    flags = select(f.trace_id, f.category, f.state).where(f.state.in_((*rank, FlagState.UNSURE.value)))
    for row in c.execute(flags.where(batches.visible(f.batch_id))):
        place = Category(row.category).place
        if row.state in rank:
            of(row.trace_id)[place] = max(of(row.trace_id)[place], rank[row.state])
        else:
            undecided.add((row.trace_id, place))
    for trace_id, place in undecided:
        if trace_id in said and said[trace_id][place] == 0:
            said[trace_id][place] = -1
    for mark in c.execute(select(m.trace_id, m.category)):
        place = Category(mark.category).place
        of(mark.trace_id)[place] = max(of(mark.trace_id)[place], 0)
    ids = np.array(sorted(said), np.int64)
    values = np.array([said[int(one)] for one in ids], np.int8).reshape(-1, len(CATEGORIES))
    return Truth(ids, values)


def current(c: Connection, *, scored: Scores | None = None) -> Thresholds:
    """The thresholds in force. `scored`: the active monitors' scores, where the caller has them already."""
    known = truth(c)
    numbers = {category: len(known.benign(category)) for category in CATEGORIES}
    chosen = _stored(c)
    of: dict[Category, Threshold] = {}
    for category, number in numbers.items():
        threshold = chosen.get(category)
        if threshold is None and number >= LEAST_BENIGN:
            scored = monitors.scores(c) if scored is None else scored
            threshold = benign_thresholds(scored.only(known.benign(category).tolist()).scores[:, category.place])
        if threshold is None:
            continue
        blocks = threshold.block is not None and number >= LEAST_BENIGN
        of[category] = threshold if blocks else Threshold(threshold.review, None, threshold.basis)
    return Thresholds(of)


def preview(c: Connection, category: Category, threshold: Threshold, *, scored: Scores | None = None) -> Moved:
    """What this change would do to the verdicts, without doing it: with too few benign labels it blocks nothing."""
    mine = monitors.scores(c) if scored is None else scored
    if threshold.block is not None and len(truth(c).benign(category)) < LEAST_BENIGN:
        threshold = Threshold(threshold.review, None, threshold.basis)
    before = current(c, scored=mine)
    return moved(mine.verdicts(before), mine.verdicts(before.having(category, threshold)))


def choose(c: Connection, category: Category, threshold: Threshold | None, annotator_id: int) -> Changes:
    """Set a category's thresholds; None: the default again. Raises ConflictError for a block on too few labels."""
    if threshold is not None and threshold.block is not None:
        number = len(truth(c).benign(category))
        if number < LEAST_BENIGN:
            raise ConflictError(
                f"{category.value}: {number} confirmed benign labels; nothing is blocked below {LEAST_BENIGN}, "
                "so reject false flags or mark clean traces first"
            )
    old = _stored(c).get(category)
    if old == threshold:
        return Changes()
    _write(c, category, threshold)
    said = {"annotator_id": annotator_id, "role": "do", "verb": VERB, "at": now()}
    history.append(c, **said, old=_plain(category, old), new=_plain(category, threshold))
    return changed(Topic.MONITORS)


def undo(c: Connection, annotator_id: int) -> Changes | None:
    """Take this person's newest change of thresholds back, unless another set that category since."""
    return _revert(c, annotator_id, ("do", "redo"), "undo")


def redo(c: Connection, annotator_id: int) -> Changes | None:
    """Make the change again that this person took back last, if they have changed none since, and nobody else it."""
    return _revert(c, annotator_id, ("undo",), "redo")


def _revert(c: Connection, annotator_id: int, roles: tuple[str, ...], role: str) -> Changes | None:
    h, later = s.history.c, s.history.alias("later")
    open_ = ~exists().where(later.c.reverts == h.id)
    mine = and_(h.annotator_id == annotator_id, h.verb == VERB)
    found = select(s.history).where(mine, h.role.in_(roles), open_).order_by(h.id.desc()).limit(1)
    row = c.execute(found).first()
    if row is None:
        return None
    newer = select(h.id).where(mine, h.role == "do", h.id > row.id).limit(1)
    if role == "redo" and c.scalar(newer) is not None:
        return None
    category = Category(row.new["category"])
    if _plain(category, _stored(c).get(category)) != row.new:
        return None
    _write(c, category, _read(row.old))
    said = {"annotator_id": annotator_id, "role": role, "verb": VERB, "at": now(), "reverts": row.id}
    history.append(c, **said, old=row.new, new=row.old)
    return changed(Topic.MONITORS)


def log(c: Connection) -> tuple[Entry, ...]:
    """Every change of thresholds, newest first; none is left out."""
    h = s.history.c
    rows = c.execute(select(s.history).where(h.verb == VERB).order_by(h.id.desc()))
    return tuple(Entry(**row._mapping) for row in rows)


def _stored(c: Connection) -> dict[Category, Threshold]:
    return {
        Category(row.category): Threshold(row.review, row.block, Basis(row.basis))
        for row in c.execute(select(i.threshold))
    }


def _write(c: Connection, category: Category, threshold: Threshold | None) -> None:
    c.execute(delete(i.threshold).where(i.threshold.c.category == category.value))
    if threshold is not None:
        c.execute(insert(i.threshold).values(**_plain(category, threshold)))


def _plain(category: Category, threshold: Threshold | None) -> dict[str, Any]:
    if threshold is None:
        return {"category": category.value}
    values = {"review": threshold.review, "block": threshold.block, "basis": threshold.basis.value}
    return {"category": category.value, **values}


def _read(plain: dict[str, Any]) -> Threshold | None:
    if "review" not in plain:
        return None
    return Threshold(plain["review"], plain["block"], Basis(plain["basis"]))
