"""Rated candidates as rows of their own: a distinct prefix each, of which only the last step is labelled.

A candidate at position k stands for step k of its trace: its row is the steps before k and the candidate. What the
steps before teach, the trace's own row teaches. No prefix is taught twice: what a row already ends on is left out, and
what several people said of one candidate is resolved as for a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text

from trainer.contract.records import InputRow, Split, Votes

_NO_STEP = -1  # the step id of a candidate, which is no step of its trace


def is_one(row: InputRow) -> bool:
    """Whether a row is an alternative."""
    return row.step_ids[-1:] == (_NO_STEP,)


@dataclass(slots=True)
class Taught:
    """The prefixes that have been taught, as digests, and the queries whose alternatives are still to come."""

    prefixes: set[bytes] = field(default_factory=set)
    pieces: list[dict[str, Any]] = field(default_factory=list)

    def note(self, row: InputRow) -> None:
        """Remember what a trace's own row teaches."""
        for at, votes in enumerate(row.votes or ()):
            if votes is not None:
                self.prefixes.add(_digest(row.problem, row.steps[: at + 1]))

    def first_time(self, problem: str, steps: Sequence[str]) -> bool:
        """Whether nothing has taught this prefix; from now on something has."""
        digest = _digest(problem, steps)
        if digest in self.prefixes:
            return False
        self.prefixes.add(digest)
        return True


def stream(
    c: Connection, scope: str, given: Mapping[str, Any], rows: Mapping[str, InputRow], taught: Taught
) -> Iterator[InputRow]:
    """The alternatives of these traces, of training problems alone: what is held out stays as it is."""
    for found in c.execute(text(scope + _CANDIDATES), given):
        row = rows[found.uid]
        at = found.ordinal
        if row.split is not Split.TRAIN or at > len(row.steps):
            continue
        steps = (*row.steps[:at], found.text)
        votes = _resolved(found, soft=given["soft"])
        if votes is None or not taught.first_time(row.problem, steps):
            continue
        yield msgspec.structs.replace(
            row,
            id=f"{row.id}:{at}:{_digest(row.problem, steps).hex()[:12]}",
            steps=steps,
            step_ids=(*row.step_ids[:at], _NO_STEP),
            votes=(*(row.votes or ())[:at], votes),
            repairs=(),
            outcome=None,
            labelled_from=at,
        )


def _resolved(found: Row[Any], *, soft: bool) -> Votes | None:
    """As for a step: more than half decide, else shares when soft, else nothing."""
    weights = (found.n, found.z, found.p)
    total = sum(weights)
    if 2 * max(weights) > total:
        return Votes(*(float(2 * weight > total) for weight in weights))
    return Votes(*(weight / total for weight in weights)) if soft else None


def _digest(problem: str, steps: Sequence[str]) -> bytes:
    return hashlib.sha256(msgspec.json.encode((problem, steps))).digest()[:12]


_CANDIDATES = """,
voices AS (
  SELECT trace.uid, said.trace_id, rating.ordinal, candidate.text, said.judged, rating.value
  FROM said JOIN rating ON rating.annotation_id = said.id AND rating.option <> 0 AND rating.value IS NOT NULL
    AND NOT (:skip_unsure AND (rating.unsure OR coalesce(rating.flagged, 0)))
    AND (said.end_at IS NULL OR rating.ordinal <= said.end_at)
  JOIN trace ON trace.id = said.trace_id
  JOIN candidate ON candidate.trace_id = said.trace_id AND candidate.ordinal = rating.ordinal
    AND candidate.option = rating.option AND (candidate.annotation_id IS NULL OR candidate.annotation_id = said.id)
  WHERE said.why = ''
),
loudest AS (SELECT trace_id, ordinal, text, max(judged) AS judged FROM voices GROUP BY trace_id, ordinal, text)
SELECT voices.uid, voices.ordinal, voices.text,
  sum(voices.value = -1) AS n, sum(voices.value = 0) AS z, sum(voices.value = 1) AS p
FROM voices JOIN loudest USING (trace_id, ordinal, text) WHERE voices.judged = loudest.judged
GROUP BY voices.trace_id, voices.ordinal, voices.text ORDER BY voices.trace_id, voices.ordinal, voices.text
"""
