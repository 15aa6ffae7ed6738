"""Which rows a run gets: a selection of traces with what people said of them, resolved, counted, streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trainer.contract.records import InputRow, Split


class Resolution(StrEnum):
    """What becomes of a step that several people rated: adjudicated or gold first, then the strict majority, then ..."""

    DROP = "adjudicated, else majority, else drop"
    SOFT = "adjudicated, else majority, else soft"


class Origin(StrEnum):
    """Where an annotation (of a row to score: its trace) came from."""

    HERE = "here"
    IMPORTED = "imported"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which traces, and whose ratings of them. Empty tuples mean no restriction; names and uids both name a thing."""

    projects: tuple[str, ...] = ()  # names or uids
    text: str = ""  # in the problem or the trace
    annotators: tuple[str, ...] = ()  # names or uids
    origins: tuple[Origin, ...] = ()
    traces: tuple[str, ...] = ()  # uids: only these
    only_submitted: bool = True
    skip_unsure: bool = False  # leave out ratings that their annotator marked unsure
    resolution: Resolution = Resolution.DROP
    labelled: bool = True  # False: rows to be scored, rated or not
    limit: int = 0  # at most so many rows; 0 = all


@dataclass(frozen=True, slots=True)
class Counts:
    """What a selection holds. `left_out` counts traces, `unlabelled` counts steps of rows that went in, both by reason."""

    rows: int
    problems: int
    steps: int
    characters: int  # of problems and steps, for the estimate
    longest: int  # characters of the longest row
    per_split: Mapping[Split, int]
    negative: float  # weights: a soft label counts in parts
    neutral: float
    positive: float
    left_out: Mapping[str, int] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> float:
        """How many steps carry a label."""
        return self.negative + self.neutral + self.positive


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows of a selection and what was counted."""

    rows: tuple[InputRow, ...]
    counts: Counts

    @property
    def left_out(self) -> Mapping[str, int]:
        """Traces that did not go in, by reason."""
        return self.counts.left_out
