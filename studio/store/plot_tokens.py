"""Plots of how often traces are right against the tokens that they took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection, select

from studio.store import batches
from studio.store import schema as s
from studio.store.conversations import budget_of
from studio.store.plot import Floats, Kind, Plot, shares

BINS = 10
MOST_TYPES, TYPE_BINS, FEWEST = 6, 5, 10  # curves in a plot, spots of each, traces that one needs


def tokens(c: Connection) -> Plot:
    """Share of right traces by tokens of thinking (all tokens, where the source counts no thinking)."""
    found = _counted(c)
    members, x, right = _parts(found, BINS)
    of_all = sum(one.whole for one in found)
    words = f"{len(found):,} traces with an outcome and counted tokens, in parts of equal size"
    words += f"; for {of_all:,} all tokens, as thinking is not counted apart" if of_all else ""
    return shares(Kind.TOKENS, (_tokens_label(found), "share right"), members, right, words, x=x)


def types(c: Connection) -> Plot:
    """The same, a curve for each source of problems that has enough traces: of which type more thinking helps."""
    found = _counted(c)
    counts = Counter(one.source for one in found)
    names = [name for name, count in counts.most_common(MOST_TYPES) if count >= FEWEST]
    members: list[list[tuple[int, int]]] = []
    xs, rights, groups = [np.zeros(0)], [np.zeros(0)], []
    for group, name in enumerate(names):
        parts, x, right = _parts([one for one in found if one.source == name], TYPE_BINS)
        members += parts
        xs.append(x)
        rights.append(right)
        groups += [group] * len(parts)
    kept = sum(counts[name] for name in names)
    words = f"{kept:,} of {len(found):,} traces with an outcome and counted tokens, by the source of their problem"
    words += f"; sources with fewer than {FEWEST} are left out" if kept < len(found) else ""
    labels = (_tokens_label([one for one in found if one.source in names]), "share right")
    made = shares(Kind.TYPES, labels, members, np.concatenate(rights), words, x=np.concatenate(xs))
    told = tuple(f"{name or 'not named'} ({counts[name]:,})" for name in names)
    return replace(made, groups=np.array(groups, np.int64), names=told)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A trace with its tokens; `whole`: they are all of its tokens, as thinking is not counted apart."""

    tokens: int
    trace_id: int
    right: bool
    source: str
    whole: bool


def _counted(c: Connection) -> list[_Counted]:
    """Every trace with an outcome and a count of tokens, the shortest first."""
    t = s.trace.c
    query = (
        select(t.id, t.outcome, t.budget, s.problem.c.source)
        .join(s.problem, s.problem.c.id == t.problem_id)
        .where(t.outcome.is_not(None), t.budget.is_not(None), batches.visible(t.batch_id))
    )
    found = []
    for row in c.execute(query):
        budget = budget_of(row.budget)
        tokens = budget.thinking if budget.thinking is not None else budget.used
        if tokens:
            found.append(_Counted(tokens, row.id, row.outcome == 1, row.source or "", budget.thinking is None))
    return sorted(found, key=lambda one: (one.tokens, one.trace_id))


def _tokens_label(found: Sequence[_Counted]) -> str:
    """What the tokens are: of thinking, all, or some of each."""
    kinds = {one.whole for one in found}
    return "tokens of thinking, or all" if len(kinds) > 1 else "tokens" if True in kinds else "tokens of thinking"


def _parts(found: Sequence[_Counted], most: int) -> tuple[list[list[tuple[int, int]]], Floats, Floats]:
    """Parts of equal size: members, mean tokens, how many are right."""
    size = max(1, math.ceil(len(found) / most))
    parts = [found[start : start + size] for start in range(0, len(found), size)]
    x = np.array([np.mean([one.tokens for one in part]) for part in parts])
    right = np.array([sum(one.right for one in part) for part in parts], float)
    return [[(one.trace_id, -1) for one in part] for part in parts], x, right
