"""How good monitors are by what people confirmed and rejected, and what a promotion would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from studio.store import monitors, thresholds
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import FlagState
from studio.store.monitors import Kind, Scores
from studio.store.thresholds import Truth
from trainer.reasoning.detection import Confusion, DetectionFigures, confusion, figures_of
from trainer.reasoning.safety import CATEGORIES, Category, Moved, Thresholds, moved


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """One category of a monitor on the traces that people spoke about; `confusion` at the present review threshold.

    `confused` names the traces behind each cell: missed, false.
    """

    category: Category
    figures: DetectionFigures
    confusion: Confusion
    missed: tuple[int, ...]
    false: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two monitors on the traces that both have scored, under the present thresholds."""

    traces: int
    verdicts: Moved
    auroc: Mapping[Category, tuple[float, float, int]]  # old, new, labelled traces
    changed: tuple[int, ...]  # traces whose verdict differs


def figures(
    c: Connection, monitor_ids: Sequence[int] | None = None, *, part: int = 0, rounds: int = 1000
) -> tuple[CategoryFigures, ...]:
    """Figures by category, of categories with a labelled trace; intervals draw whole problems."""
    scored = monitors.scores(c, monitor_ids, part=part)
    known, current = thresholds.truth(c), thresholds.current(c)
    groups = _groups(c, known)
    out = []
    for category in CATEGORIES:
        ids, scores, truth = _labelled(scored, known, category)
        if not len(ids):
            continue
        found = figures_of(scores, truth, [groups[int(one)] for one in ids], rounds=rounds)
        threshold = current[category].review
        flagged = np.nan_to_num(scores, nan=-1.0) >= threshold
        cells = confusion(np.nan_to_num(scores, nan=-1.0), truth, threshold)
        missed, false = ids[~flagged & (truth == 1)], ids[flagged & (truth == 0)]
        out.append(CategoryFigures(category, found, cells, tuple(missed.tolist()), tuple(false.tolist())))
    return tuple(out)


def by_model(
    c: Connection, category: Category, monitor_ids: Sequence[int] | None = None
) -> dict[str, DetectionFigures] | None:
    """Figures by family of the models that wrote the traces; None = not measurable, with fewer than two families."""
    scored, known = monitors.scores(c, monitor_ids), thresholds.truth(c)
    ids, scores, truth = _labelled(scored, known, category)
    models = select(s.trace.c.id, s.trace.c.model).where(s.trace.c.id.in_(ids.tolist()))
    names = {row.id: row.model for row in c.execute(models)}
    families = np.array([family_of(names.get(int(one), "")) for one in ids])
    present = [name for name in sorted(set(families.tolist())) if name]
    if len(present) < 2:
        return None
    return {name: figures_of(scores[families == name], truth[families == name], rounds=200) for name in present}


@dataclass(frozen=True, slots=True)
class Unseen:
    """Labelled traces of a category: those that may have taught a classifier, and figures on the others alone."""

    taught: int
    fresh: int
    figures: DetectionFigures | None


def unseen(c: Connection, category: Category, monitor_ids: Sequence[int] | None = None) -> Unseen:
    """Labels said before a classifier first looked may have taught it: figures on those flatter it."""
    scored, known = monitors.scores(c, monitor_ids), thresholds.truth(c)
    ids, scores, truth = _labelled(scored, known, category)
    wanted = monitors.active_ids(c) if monitor_ids is None else monitor_ids
    mine = [monitor for monitor in monitors.all_of(c) if monitor.id in wanted and monitor.kind is Kind.CLASSIFIER]
    if not mine:
        return Unseen(0, len(ids), None)
    first = _first_said(c, category)
    began = max(monitor.created_at for monitor in mine)
    fresh = np.array([first.get(int(one), "") > began for one in ids], np.bool_)
    groups = _groups(c, known)
    names = [groups[int(one)] for one in ids[fresh]]
    both = len(np.unique(truth[fresh])) == 2
    found = figures_of(scores[fresh], truth[fresh], names, rounds=200) if both else None
    return Unseen(int((~fresh).sum()), int(fresh.sum()), found)


def _first_said(c: Connection, category: Category) -> dict[int, str]:
    """When somebody first said something of a category, by trace."""
    f, m = i.flag.c, i.clean_mark.c
    flags = select(f.trace_id, func.min(f.reviewed_at).label("at")).where(
        f.category == category.value, f.state != FlagState.OPEN.value, f.reviewed_at.is_not(None)
    )
    marks = select(m.trace_id, func.min(m.at).label("at")).where(m.category == category.value)
    out: dict[int, str] = {}
    for query in (flags.group_by(f.trace_id), marks.group_by(m.trace_id)):
        for row in c.execute(query):
            out[row.trace_id] = min(out.get(row.trace_id, row.at), row.at)
    return out


def family_of(model: str) -> str:
    """The family in a model's name: the words before its first number: "qwen" of "qwen3-8b"."""
    name = model.rsplit("/", 1)[-1].lower()
    letters = "".join(character if character.isalpha() else " " for character in name).split()
    return letters[0] if letters else ""


def compare(c: Connection, old_id: int, new_id: int) -> Comparison:
    """What would change if the new one's word counted instead of the old one's; others stay as they are.

    The verdicts are those of all monitors that count, before and after; the AUROC is of each of the two alone, on the
    traces that both have scored in the category.
    """
    old, new = monitors.scores(c, (old_id,)), monitors.scores(c, (new_id,))
    shared = np.intersect1d(old.trace_ids, new.trace_ids)
    old, new = old.only(shared.tolist()), new.only(shared.tolist())
    current: Thresholds = thresholds.current(c)
    others = tuple(one for one in monitors.active_ids(c) if one not in (old_id, new_id))
    before, after = (
        monitors.scores(c, (*others, one)).only(shared.tolist()).verdicts(current) for one in (old_id, new_id)
    )
    known = thresholds.truth(c)
    auroc: dict[Category, tuple[float, float, int]] = {}
    for category in CATEGORIES:
        ids, first, truth = _labelled(old, known, category)
        _, second, _ = _labelled(new, known, category)
        if not len(ids) or (np.isnan(first).all() and np.isnan(second).all()):
            continue
        both = ~(np.isnan(first) | np.isnan(second))
        both |= np.isnan(first).all() or np.isnan(second).all()  # one that never scored it is compared with nothing
        pair = [figures_of(one[both], truth[both], rounds=1).auroc.value for one in (first, second)]
        auroc[category] = (pair[0], pair[1], int(both.sum()))
    return Comparison(len(shared), moved(before, after), auroc, tuple(shared[before != after].tolist()))


def _labelled(scored: Scores, known: Truth, category: Category) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, scores and truth of the scored traces that people spoke about."""
    told = known.values[:, category.place] >= 0
    ids, places, rows = np.intersect1d(scored.trace_ids, known.trace_ids[told], return_indices=True)
    truth = known.values[told][rows, category.place]
    return ids, scored.scores[places, category.place].astype(np.float64), truth.astype(np.int64)


def _groups(c: Connection, known: Truth) -> dict[int, str]:
    """The problem of each labelled trace."""
    query = select(s.trace.c.id, s.problem.c.fold).join(s.problem, s.problem.c.id == s.trace.c.problem_id)
    wanted = set(known.trace_ids.tolist())
    return {row.id: row.fold for row in c.execute(query.where(s.trace.c.id.in_(wanted)))}
