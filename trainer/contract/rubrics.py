"""What a run of the recipe `rubric` looks for, in `inputs/rubric.json`, and what it found, in `records.jsonl`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

FILE = "rubric.json"


class RubricExample(msgspec.Struct, frozen=True, array_like=True):
    """A text that the rubric is about, or is not; `group` is what must stay on one side of a split (its problem)."""

    positive: bool
    text: str
    group: str = ""


class RubricCard(msgspec.Struct, frozen=True, kw_only=True):
    """A rubric as it stood when the run was made: `told` are its written examples, `reviewed` the hits people judged.

    `uid` and `version` name it in the workspace.
    """

    uid: str
    name: str
    version: int
    definition: str = ""
    told: tuple[RubricExample, ...] = ()
    reviewed: tuple[RubricExample, ...] = ()

    @property
    def examples(self) -> tuple[RubricExample, ...]:
        """All of them."""
        return (*self.told, *self.reviewed)

    @property
    def checksum(self) -> str:
        """16 hex digits of all that it says: another word of a person is another one."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def write(self, inputs: Path) -> None:
        """Into the folder `inputs` of a run."""
        (inputs / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


class RubricFileError(ValueError):
    """A rubric file that cannot be read; the message names it and says what to do."""


def read_card(inputs: Path) -> RubricCard:
    """The rubric of a run. Raises RubricFileError."""
    path = inputs / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RubricCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise RubricFileError(f"{path}: {error}; create the run again") from error


class RubricQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that the rubric is about: [start, end) of the trace's text, word for word; `score` in [0, 1]."""

    start: int
    end: int
    quote: str
    score: float
    why: str = ""


class RubricRecord(msgspec.Struct, frozen=True, kw_only=True, tag="rubric"):
    """What one way of looking found in one trace, perhaps nothing; a trace that was not judged has no record."""

    id: str
    row: str
    trace: str
    segmentation: int
    rubric: str
    version: int
    how: str
    by: str
    quotes: tuple[RubricQuote, ...] = ()
