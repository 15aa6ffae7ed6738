"""Where several people rated: what is taken as the truth, and where they disagree with each other or with a scorer.

Gold and adjudicated ratings come first; without them a rating with more than half of the people behind it; without
such a majority the step is dropped, or keeps the votes as a soft label. `studio.store.rows` does the same in SQL for
whole selections; a test holds both against each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from studio.domain import Annotation
from studio.store.rows import Resolution
from studio.store.scores import unpack
from trainer.contract.records import Votes

_JUDGED = ("adjudication", "gold")
_PIECE = 1000  # traces in one query


class Against(StrEnum):
    """Who disagrees with the people, or among them."""

    PEOPLE = "people"
    SCORER = "scorer"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One step: how many people gave each rating, and how far apart they are, or the scorer is from them (0 to 1)."""

    trace_id: int
    ordinal: int
    against: Against
    negative: int
    neutral: int
    positive: int
    score: float | None
    size: float


def resolve(
    annotations: Iterable[Annotation], steps: int, resolution: Resolution = Resolution.DROP
) -> tuple[Votes | None, ...]:
    """The votes of every step of one segmentation; None where nobody rated, or a tie was dropped.

    The annotations must be of that segmentation. A resolved step has one weight of 1, a soft one weights that sum to 1.
    """
    plain = [[0, 0, 0] for _ in range(steps)]
    judged = [[0, 0, 0] for _ in range(steps)]
    for annotation in annotations:
        counts = judged if annotation.kind in _JUDGED else plain
        for rating in annotation.counted:
            if rating.option == 0 and rating.value is not None and rating.ordinal < steps:
                counts[rating.ordinal][int(rating.value) + 1] += 1
    return tuple(_votes(j if any(j) else p, resolution) for j, p in zip(judged, plain, strict=True))


def disagreements(
    c: Connection,
    project_id: int,
    scorer_id: int | None = None,
    *,
    apart: float = 0.5,
    limit: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Disagreement, ...]:
    """Steps of submitted annotations on which people disagree, and (given a scorer) on which the scorer does.

    People: a step without a judgement that was rated in two ways; its size is half the distance of the ratings. Scorer:
    |P(correct) - 1| where most people find the step positive or neutral, P(correct) where negative, if at least
    `apart`. The largest first, at most `limit`. Reads piece by piece; call it off the GUI thread.
    """
    traces = c.execute(text(_TRACES), {"project": project_id}).scalars().all()
    found: list[Disagreement] = []
    for start in range(0, len(traces), _PIECE):
        given = {"project": project_id, "traces": json.dumps(traces[start : start + _PIECE])}
        counts = [_Counts(*row) for row in c.execute(text(_COUNTS), given)]
        found += _among_people(counts)
        if scorer_id is not None:
            given_scorer = {"scorer": scorer_id, "traces": given["traces"]}
            packed = {(row.trace_id, row.segmentation_id): row.data for row in c.execute(text(_SCORES), given_scorer)}
            found += _with_scorer(counts, packed, apart)
        found = sorted(found, key=_rank)[:limit]
        if progress is not None:
            progress(min(start + _PIECE, len(traces)), len(traces))
    return tuple(found)


def beginnings(c: Connection, steps: Iterable[tuple[int, int]], length: int = 160) -> dict[tuple[int, int], str]:
    """How these steps, (trace, ordinal) of present steps, begin: at most so many code points of each."""
    wanted = json.dumps(sorted(set(steps)))
    rows = c.execute(text(_BEGINNINGS), {"steps": wanted, "length": length})
    return {(row.trace_id, row.ordinal): row.begins for row in rows}


@dataclass(frozen=True, slots=True)
class _Counts:
    """A step with how many people gave each rating, and how many judgements."""

    trace_id: int
    segmentation_id: int
    ordinal: int
    negative: int
    neutral: int
    positive: int
    judged_negative: int
    judged_neutral: int
    judged_positive: int

    @property
    def plain(self) -> tuple[int, int, int]:
        return self.negative, self.neutral, self.positive

    @property
    def judged(self) -> tuple[int, int, int]:
        return self.judged_negative, self.judged_neutral, self.judged_positive


def _votes(counts: Sequence[int], resolution: Resolution) -> Votes | None:
    total = sum(counts)
    if total == 0:
        return None
    for at, count in enumerate(counts):
        if 2 * count > total:
            return Votes(*(float(at == other) for other in range(3)))
    return None if resolution is Resolution.DROP else Votes(*(count / total for count in counts))


def _among_people(counts: Sequence[_Counts]) -> Iterator[Disagreement]:
    for each in counts:
        given = [value for value, people in zip((-1, 0, 1), each.plain, strict=True) if people]
        if len(given) > 1 and not any(each.judged):
            size = (given[-1] - given[0]) / 2
            yield Disagreement(each.trace_id, each.ordinal, Against.PEOPLE, *each.plain, None, size)


def _with_scorer(
    counts: Sequence[_Counts], packed: dict[tuple[int, int], bytes], apart: float
) -> Iterator[Disagreement]:
    scores = {place: unpack(data) for place, data in packed.items()}
    for each in counts:
        values = scores.get((each.trace_id, each.segmentation_id), ())
        score = values[each.ordinal] if each.ordinal < len(values) else None
        votes = _votes(each.judged if any(each.judged) else each.plain, Resolution.DROP)
        if score is None or votes is None:
            continue
        size = score if votes.negative else 1 - score
        if size >= apart:
            yield Disagreement(each.trace_id, each.ordinal, Against.SCORER, *each.plain, score, size)


def _rank(found: Disagreement) -> tuple[Any, ...]:
    return -found.size, found.against, found.trace_id, found.ordinal


_TRACES = """
SELECT DISTINCT trace_id FROM annotation
WHERE project_id = :project AND state = 'submitted'
  AND (batch_id IS NULL OR batch_id IN (SELECT id FROM batch WHERE state = 'published'))
ORDER BY trace_id
"""

_BEGINNINGS = """
SELECT t.id AS trace_id, s.ordinal, substr(t.text, s.start + 1, min(s."end" - s.start, :length)) AS begins
FROM json_each(:steps) AS j
JOIN trace AS t ON t.id = json_extract(j.value, '$[0]')
JOIN segmentation AS g ON g.trace_id = t.id AND g.current = 1
JOIN step AS s ON s.segmentation_id = g.id AND s.ordinal = json_extract(j.value, '$[1]')
"""

# Of an annotation made here the ratings behind its first negative do not count: `Annotation.counted`.
_COUNTS = """
SELECT a.trace_id, a.segmentation_id, r.ordinal,
  sum(NOT judged AND r.value = -1), sum(NOT judged AND r.value = 0), sum(NOT judged AND r.value = 1),
  sum(judged AND r.value = -1), sum(judged AND r.value = 0), sum(judged AND r.value = 1)
FROM (
  SELECT id, trace_id, segmentation_id, batch_id, kind IN ('adjudication', 'gold') AS judged,
    CASE WHEN batch_id IS NULL THEN (
      SELECT min(n.ordinal) FROM rating AS n WHERE n.annotation_id = annotation.id AND n.option = 0 AND n.value = -1
    ) END AS end_at
  FROM annotation
  WHERE trace_id IN (SELECT value FROM json_each(:traces)) AND project_id = :project AND state = 'submitted'
    AND (batch_id IS NULL OR batch_id IN (SELECT id FROM batch WHERE state = 'published'))
) AS a
JOIN rating AS r ON r.annotation_id = a.id AND r.option = 0 AND r.value IS NOT NULL
WHERE a.end_at IS NULL OR r.ordinal <= a.end_at
GROUP BY a.trace_id, a.segmentation_id, r.ordinal
"""

_SCORES = """
SELECT trace_id, segmentation_id, data FROM score
WHERE scorer_id = :scorer AND trace_id IN (SELECT value FROM json_each(:traces))
  AND batch_id IN (SELECT id FROM batch WHERE state = 'published')
"""
