"""Filters of traces: conditions on any stored field, all or any of which must hold.

`studio.store.trace_conditions` says in SQL which traces a condition means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from studio.errors import FindError


class Field(StrEnum):
    """What a condition asks about."""

    MODEL = "model"
    LOG = "log"
    PROJECT = "project"
    SAMPLE = "sample"
    EPOCH = "epoch"
    OUTCOME = "outcome"
    ANSWER = "answer"
    PROBLEM = "problem"
    SOURCE = "source of the problem"
    FORMAT = "imported as"
    STEPS = "steps"
    CHARACTERS = "characters"
    TOKENS = "tokens used"
    THINKING = "tokens of thinking"
    ANSWER_TOKENS = "tokens of the answer"
    ENDED = "how it ended"
    LOWEST = "lowest step score"
    LAST = "last step score"
    PRODUCT = "product of step scores"
    SCORER = "scored by"
    RATED = "ratings"
    FIRST_ERROR = "first negative step"
    FLAG = "flag"
    CAUSE = "why it failed"
    RUBRIC = "rubric"
    TAG = "tag of a bookmark"
    SUITE = "suite of an evaluation"
    STRATEGY = "strategy of a search"
    METADATA = "metadata"


class Op(StrEnum):
    """How the value is meant."""

    IS = "is"
    IS_NOT = "is not"
    HAS = "contains"
    HAS_NOT = "does not contain"
    LESS = "below"
    MORE = "from"
    KNOWN = "is known"
    UNKNOWN = "is not known"


class Kind(StrEnum):
    """What kind of value a field has."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    KEYED = "keyed"  # metadata: a key and its value


_TEXTS = (Field.SAMPLE, Field.ANSWER, Field.PROBLEM, Field.SOURCE)
PROBLEM_FIELDS = (Field.PROBLEM, Field.SOURCE)  # of the problem, which several traces may share
_CHOICES = (
    *(Field.MODEL, Field.LOG, Field.PROJECT, Field.OUTCOME, Field.FORMAT, Field.ENDED, Field.SCORER),
    *(Field.RATED, Field.FLAG, Field.CAUSE, Field.RUBRIC, Field.TAG, Field.SUITE, Field.STRATEGY),
)
OPS = {
    Kind.TEXT: (Op.IS, Op.IS_NOT, Op.HAS, Op.HAS_NOT, Op.KNOWN, Op.UNKNOWN),
    Kind.NUMBER: (Op.MORE, Op.LESS, Op.IS, Op.KNOWN, Op.UNKNOWN),
    Kind.CHOICE: (Op.IS, Op.IS_NOT),
    Kind.KEYED: (Op.IS, Op.IS_NOT, Op.HAS, Op.MORE, Op.LESS, Op.KNOWN, Op.UNKNOWN),
}
OUTCOMES = {"right": 1, "wrong": 0, "undecided": None}
RATED = ("with an error", "without error", "not rated")
ANY = "any"


def kind_of(field: Field) -> Kind:
    """What kind of value a field has."""
    if field is Field.METADATA:
        return Kind.KEYED
    return Kind.TEXT if field in _TEXTS else Kind.CHOICE if field in _CHOICES else Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a filter. `value`: text or a number as text, "" where the way asks for none; `key`: of metadata."""

    field: Field
    op: Op
    value: str = ""
    key: str = ""

    def __str__(self) -> str:
        """For a person: "tokens used from 4000"."""
        name = f"{self.field.value} {self.key}".strip()
        return f"{name} {self.op.value} {self.value}".strip()


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions of which all must hold, or any one."""

    conditions: tuple[Condition, ...] = ()
    any_of: bool = False

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        """For a person."""
        return (" or " if self.any_of else " and ").join(map(str, self.conditions))


def parsed(text: str) -> Condition:
    """A condition as it prints itself: "tokens used from 4000", "metadata temperature is 0.7". Raises FindError."""
    said = " ".join(text.split())
    field = next((f for f in sorted(Field, key=lambda f: -len(f.value)) if f"{said} ".startswith(f"{f.value} ")), None)
    if field is None:
        raise FindError(f"{text!r}: begin with a field: {', '.join(each.value for each in Field)}")
    ways = OPS[kind_of(field)]
    rest = said[len(field.value) :].strip()
    key, behind = (rest.partition(" ")[0], rest.partition(" ")[2]) if field is Field.METADATA else ("", rest)
    meant = [o for o in sorted(ways, key=lambda o: -len(o.value)) if f"{behind} ".startswith(f"{o.value} ")]
    if not meant:
        raise FindError(f"{text!r}: after {field.value} comes one of: {', '.join(each.value for each in ways)}")
    values = {way: behind[len(way.value) :].strip() for way in meant}
    way = next((o for o in meant if values[o] in RATED), None) if field is Field.RATED else meant[0]
    if way is None:  # "ratings is not rated" is no "is not"
        raise FindError(f"{text!r}: ratings are one of: {', '.join(RATED)}")
    value = values[way]
    if field is Field.OUTCOME and value not in OUTCOMES:
        raise FindError(f"{text!r}: an outcome is one of: {', '.join(OUTCOMES)}")
    return Condition(field, way, value, key)


def number_of(condition: Condition) -> float:
    """The number of a condition. Raises FindError for what is none."""
    try:
        value = float(condition.value.replace(",", ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FindError(f"{condition.field.value}: {condition.value!r} is no number")
    return value
