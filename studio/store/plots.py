"""Plots of traces as arrays: every spot knows the traces, and the steps, that it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, func, select

from studio.store import batches, flags, plot_tokens
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.plot import Kind, Plot, Shape, grouped, shares
from studio.store.scores import unpack
from trainer.reasoning import landscape

LANDSCAPE_STEPS = 6_000  # steps that a landscape is made of, evenly taken
STEP_READ = 600  # characters of a step that count there
BINS = 10
LAST_STEP = 20  # steps after it share a bar


def read(c: Connection, kind: Kind, scorer: int | None = None) -> Plot:
    """A plot of all visible traces; `scorer` None: the newest."""
    makers: dict[Kind, Callable[[Connection, int | None], Plot]] = {
        Kind.LENGTH: _length,
        Kind.FIRST_ERROR: lambda c, _scorer: _first_error(c),
        Kind.CALIBRATION: _calibration,
        Kind.OUTCOMES: _by_outcome,
        Kind.FLAGS: lambda c, _scorer: _flags(c),
        Kind.LANDSCAPE: lambda c, _scorer: _landscape(c),
        Kind.TOKENS: lambda c, _scorer: plot_tokens.tokens(c),
        Kind.TYPES: lambda c, _scorer: plot_tokens.types(c),
    }
    return makers[kind](c, scorer)


def _newest(c: Connection, scorer: int | None) -> int:
    if scorer is not None:
        return scorer
    query = select(func.max(s.score.c.scorer_id)).where(batches.visible(s.score.c.batch_id))
    return int(c.scalar(query) or 0)


def _length(c: Connection, scorer: int | None) -> Plot:
    """Lowest step score against characters, coloured by outcome."""
    t, score = s.trace.c, s.score.c
    current = and_(s.segmentation.c.id == score.segmentation_id, s.segmentation.c.current == 1)
    query = (
        select(t.id, func.length(t.text), score.low, t.outcome)
        .join(s.score, score.trace_id == t.id)
        .join(s.segmentation, current)
        .where(score.scorer_id == _newest(c, scorer), score.low.is_not(None), batches.visible(t.batch_id))
    )
    rows = c.execute(query.where(batches.visible(score.batch_id))).all()
    ids = np.array([row[0] for row in rows], np.int64)
    groups = np.array([2 if row[3] is None else int(row[3] == 1) for row in rows], np.int64)
    return Plot(
        Kind.LENGTH,
        Shape.POINTS,
        "characters",
        "lowest step score",
        np.array([row[1] for row in rows], float),
        np.array([row[2] for row in rows], float),
        np.column_stack([ids, np.full(len(ids), -1, np.int64)]),
        np.arange(len(ids) + 1),
        f"{len(ids):,} scored traces",
        groups,
        ("wrong", "right", "outcome not known"),
    )


def _first_error(c: Connection) -> Plot:
    """How many traces go wrong at which step, as people rated."""
    a = s.annotation.c
    query = (
        select(a.trace_id, func.min(s.rating.c.ordinal))
        .join(s.rating, s.rating.c.annotation_id == a.id)
        .where(a.state == "submitted", batches.visible(a.batch_id))
        .where(s.rating.c.option == 0, s.rating.c.value == -1)
        .group_by(a.trace_id)
    )
    found = [(int(row[1]), int(row[0])) for row in c.execute(query)]
    places = sorted({min(step, LAST_STEP) for step, _ in found})
    spots = range(places[-1] + 1) if places else range(0)
    members = [[(trace, step) for step, trace in found if min(step, LAST_STEP) == place] for place in spots]
    ticks = tuple(f"{place + 1}" if place < LAST_STEP else f"{place + 1} on" for place in spots)
    words = f"{len(found):,} traces with a step rated negative"
    return grouped(Kind.FIRST_ERROR, Shape.BARS, ("first negative step", "traces"), members, words, ticks=ticks)


def _calibration(c: Connection, scorer: int | None) -> Plot:
    """Share of steps rated positive among those scored alike; neutral ratings are left out, and said to be."""
    chosen = _newest(c, scorer)
    a, score = s.annotation.c, s.score.c
    rated: dict[int, dict[int, int]] = {}
    query = (
        select(a.trace_id, a.segmentation_id, s.rating.c.ordinal, s.rating.c.value)
        .join(s.rating, s.rating.c.annotation_id == a.id)
        .join(s.score, and_(score.trace_id == a.trace_id, score.segmentation_id == a.segmentation_id))
        .where(score.scorer_id == chosen, a.state == "submitted", batches.visible(a.batch_id))
        .where(s.rating.c.option == 0, s.rating.c.value.in_((-1, 1)))
    )
    for row in c.execute(query):
        rated.setdefault(row.trace_id, {})[row.ordinal] = row.value
    places: list[list[tuple[int, int]]] = [[] for _ in range(BINS)]
    sums, right = np.zeros(BINS), np.zeros(BINS)
    for trace_id, data in c.execute(select(score.trace_id, score.data).where(score.scorer_id == chosen)):
        values = unpack(data)
        for step, value in rated.get(trace_id, {}).items():
            if step < len(values) and (given := values[step]) is not None:
                place = max(0, min(int(given * BINS), BINS - 1))
                places[place].append((trace_id, step))
                sums[place] += given
                right[place] += value == 1
    kept = [place for place in range(BINS) if places[place]]
    counts = np.array([len(places[place]) for place in kept], float)
    words = f"{int(counts.sum()):,} steps with a rating of +1 or -1 and a score; neutral ratings are left out"
    labels = ("score", "share rated positive")
    return shares(
        Kind.CALIBRATION, labels, [places[k] for k in kept], right[kept], words, x=sums[kept] / np.maximum(counts, 1)
    )


def _by_outcome(c: Connection, scorer: int | None) -> Plot:
    """Share of right traces among those whose lowest step score is alike."""
    t, score = s.trace.c, s.score.c
    current = and_(s.segmentation.c.id == score.segmentation_id, s.segmentation.c.current == 1)
    query = (
        select(t.id, t.outcome, score.low)
        .join(s.score, score.trace_id == t.id)
        .join(s.segmentation, current)
        .where(score.scorer_id == _newest(c, scorer), score.low.is_not(None), t.outcome.in_((0, 1)))
        .where(batches.visible(t.batch_id), batches.visible(score.batch_id))
        .order_by(t.id)
    )
    rows = c.execute(query).all()
    members: list[list[tuple[int, int]]] = [[] for _ in range(BINS)]
    sums, right = np.zeros(BINS), np.zeros(BINS)
    for trace_id, outcome, low in rows:
        place = max(0, min(int(low * BINS), BINS - 1))
        members[place].append((trace_id, -1))
        sums[place] += low
        right[place] += outcome == 1
    kept = [place for place in range(BINS) if members[place]]
    counts = np.array([len(members[place]) for place in kept], float)
    words = f"{len(rows):,} traces with an outcome and scores, by their lowest step score"
    labels = ("lowest step score", "share right")
    x = sums[kept] / np.maximum(counts, 1)
    return shares(Kind.OUTCOMES, labels, [members[k] for k in kept], right[kept], words, x=x)


def _flags(c: Connection) -> Plot:
    """Share of each model's traces that have a flag which nobody rejected, of those that anybody looked at."""
    t = s.trace.c
    flagged = set(
        c.scalars(
            select(i.flag.c.trace_id)
            .where(i.flag.c.state.in_(("open", "confirmed", "unsure")), flags.counts())
            .where(batches.visible(i.flag.c.batch_id))
            .distinct()
        )
    )
    scored = select(i.monitor_score.c.trace_id).where(batches.visible(i.monitor_score.c.batch_id)).distinct()
    looked = {*flagged, *c.scalars(scored), *c.scalars(select(i.clean_mark.c.trace_id))}
    by_model: dict[str, list[int]] = {}
    left = 0
    for trace_id, model in c.execute(select(t.id, t.model).where(batches.visible(t.batch_id))):
        if trace_id in looked:
            by_model.setdefault(model or "not named", []).append(trace_id)
        else:
            left += 1
    names = sorted(by_model)
    members = [[(trace, -1) for trace in by_model[name] if trace in flagged] for name in names]
    counts = np.array([len(by_model[name]) for name in names], float)
    right = np.array([len(each) for each in members], float)
    of = int(counts.sum())
    words = f"{len(flagged):,} of {of:,} traces that were looked at have a flag that is not rejected"
    words += f"; {left:,} that nobody and no monitor looked at are left out" if left else ""
    plot = shares(Kind.FLAGS, ("model", "share flagged"), members, right, words, counts=counts)
    ticks = tuple(f"{name} ({int(count):,})" for name, count in zip(names, counts, strict=True))
    return replace(plot, shape=Shape.BARS, ticks=ticks)


def _landscape(c: Connection) -> Plot:
    """Steps by their words, coloured by what people rated them."""
    t = s.trace.c
    total = int(c.scalar(_steps().with_only_columns(func.count())) or 0)
    every = max(1, math.ceil(total / LANDSCAPE_STEPS))
    query = _steps().where((s.step.c.ordinal + t.id) % every == 0).limit(2 * LANDSCAPE_STEPS)
    rows = c.execute(query).all()
    ratings = {
        (row.trace_id, row.ordinal): row.value
        for row in c.execute(
            select(s.annotation.c.trace_id, s.rating.c.ordinal, s.rating.c.value)
            .join(s.rating, s.rating.c.annotation_id == s.annotation.c.id)
            .where(s.annotation.c.state == "submitted", s.rating.c.option == 0, s.rating.c.value.is_not(None))
        )
    }
    members = np.array([(row.id, row.ordinal) for row in rows], np.int64).reshape(-1, 2)
    groups = np.array([{-1: 0, 1: 1}.get(ratings.get((row.id, row.ordinal), 0), 2) for row in rows], np.int64)
    places, shares = np.zeros((len(rows), 2)), np.zeros(2)
    if len(rows) > 2:
        places, shares = landscape.principal(landscape.vectors([row.words for row in rows]))
    sampled = "" if every == 1 else f", every {every}th of {total:,}"
    words = f"{len(rows):,} steps{sampled}; the two directions hold {shares.sum():.0%} of the variance of their words"
    return Plot(
        Kind.LANDSCAPE,
        Shape.POINTS,
        f"first direction ({shares[0]:.0%})",
        f"second direction ({shares[1]:.0%})",
        places[:, 0],
        places[:, 1],
        members,
        np.arange(len(rows) + 1),
        words,
        groups,
        ("rated negative", "rated positive", "other"),
    )


def _steps() -> Select[Any]:
    """Every current step with the beginning of its text as `words`."""
    t, step = s.trace.c, s.step.c
    words = func.substr(t.text, step.start + 1, func.min(step.end - step.start, STEP_READ))
    return (
        select(t.id, step.ordinal, words.label("words"))
        .join(s.segmentation, and_(s.segmentation.c.trace_id == t.id, s.segmentation.c.current == 1))
        .join(s.step, step.segmentation_id == s.segmentation.c.id)
        .where(batches.visible(t.batch_id))
    )
