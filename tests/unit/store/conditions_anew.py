"""What every condition of a filter means, said anew in Python over the rows of a test, and conditions of every kind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from studio.store.trace_filter import OPS, Condition, Field, Kind, Op, kind_of

VALUES = {
    Field.SAMPLE: ("1", "11", ""),
    Field.ANSWER: (
        "X = 4",
        "0%",
        "A_B",
        "\\T",
        "größe",
        "ПРИВЕТ, мир",
        "ba" * 120,
        "[Q]",
        "*",
        "a",
        "x = 4/2",
        "",
        "İ",
    ),
    Field.PROBLEM: ("PROBLEM 1", "Ö", "1", ""),
    Field.SOURCE: ("GSM", "gsm8k", ""),
    Field.METADATA: ("1", "0.7", "true", "compared", "red", "5", "l", ""),
}
NUMBERS = ("0", "0.5", "2", "3", "1,000", "0.25")
CHOICES = {
    Field.MODEL: ("alpha", ""),
    Field.LOG: ("logs/a.eval",),
    Field.PROJECT: ("Algebra", "Other"),
    Field.OUTCOME: ("right", "wrong", "undecided"),
    Field.FORMAT: ("inspect", "none"),
    Field.ENDED: ("length", ""),
    Field.SCORER: ("any", "one", "two"),
    Field.RATED: ("with an error", "without error", "not rated"),
    Field.FLAG: ("any", "deception"),
    Field.CAUSE: ("any", "loop"),
    Field.RUBRIC: ("any", "goes on"),
    Field.TAG: ("any", "odd"),
    Field.SUITE: ("any", "math"),
    Field.STRATEGY: ("any", "beam", "vote"),
}
KEYS = ("temperature", "usage.tokens", "usage", "ok", "tags", "gen_ai.usage.tokens", "größe", "usage.deep.er", "none")
Row = dict[str, Any]


def same(letter: str, wanted: str) -> bool:
    return letter == wanted or letter in (wanted.lower(), wanted.upper())


def stands(text: str, wanted: str) -> bool:
    """Whether a text holds another, letter by letter."""
    return any(
        all(same(text[at + k], letter) for k, letter in enumerate(wanted)) for at in range(len(text) - len(wanted) + 1)
    )


def text_holds(text: object, op: Op, wanted: str) -> bool:
    said = "" if text is None else str(text)
    known = said != ""
    equal = len(said) == len(wanted) and stands(said, wanted)
    has = stands(said, wanted)
    ways = {
        Op.KNOWN: known,
        Op.UNKNOWN: not known,
        Op.IS: equal,
        Op.IS_NOT: not equal,
        Op.HAS: has,
        Op.HAS_NOT: not has,
    }
    return ways[op]


def number_holds(numbers: list[float], op: Op, value: str) -> bool:
    """Whether any of these numbers is so."""
    if op in (Op.KNOWN, Op.UNKNOWN):
        return bool(numbers) == (op is Op.KNOWN)
    wanted = float(value.replace(",", ""))
    return any({Op.MORE: n >= wanted, Op.LESS: n < wanted, Op.IS: n == wanted}[op] for n in numbers)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    elif value is not None:
        yield name, value


def metadata_holds(extra: object, op: Op, value: str, key: str) -> bool:
    found = [said for name, said in leaves(extra) if name == key or name.startswith(f"{key}.")]
    numbers = [float(said) for said in found if isinstance(said, (int, float)) and not isinstance(said, bool)]
    if op in (Op.MORE, Op.LESS):
        return number_holds(numbers, op, value)
    texts = [said if isinstance(said, str) else json.dumps(said, separators=(",", ":")) for said in found]
    positive = {Op.IS_NOT: Op.IS, Op.UNKNOWN: Op.KNOWN}.get(op, op)
    if positive is Op.IS and not value:
        holds = not any(texts)
    elif positive is Op.HAS and not value:
        holds = True
    else:
        plain = [
            t for t, said in zip(texts, found, strict=True) if isinstance(said, (str, bool, list)) or not number(value)
        ]
        holds = any(text_holds(t, positive, value) for t in (plain if positive is Op.IS else texts))
        holds = holds or (positive is Op.IS and number(value) and number_holds(numbers, Op.IS, value))
    return holds == (positive is op)


def number(value: str) -> bool:
    return value.replace(".", "").replace(",", "").isdigit()


def choice_holds(row: Row, field: Field, value: str) -> bool:
    flags = [category for category, state in row["flags"] if state == "open"]
    tags = row["tags"]
    errors = [error for error in row["errors"] if error is not None]
    rated = "not rated" if not row["errors"] else "with an error" if errors else "without error"
    strategies = [row["search"], (row["drawn"] or (None, None))[1]]
    any_of = value == "any"
    return {
        Field.MODEL: row["model"] == value,
        Field.LOG: row["log"] == value,
        Field.PROJECT: value == "Algebra" or row["other"],
        Field.OUTCOME: row["outcome"] == {"right": 1, "wrong": 0, "undecided": None}[value]
        if field is Field.OUTCOME
        else 0,
        Field.FORMAT: row["format"] == value,
        Field.ENDED: ((row["budget"] or {}).get("ended") or "") == value,
        Field.SCORER: bool(row["scores"]) if any_of else {"one": 1, "two": 2}.get(value) in row["scores"],
        Field.RATED: rated == value,
        Field.FLAG: bool(flags) if any_of else value in flags,
        Field.CAUSE: bool(row["cause"]) if any_of else row["cause"] == value,
        Field.RUBRIC: "open" in row["hits"],
        Field.TAG: tags is not None if any_of else value in (tags or ()),
        Field.SUITE: bool(row["drawn"]) if any_of else (row["drawn"] or (None,))[0] == value,
        Field.STRATEGY: any(strategies) if any_of else value in strategies,
    }[field]


def holds(row: Row, condition: Condition) -> bool:
    """Whether a condition holds for a trace."""
    field, op, value = condition.field, condition.op, condition.value
    kind, budget = kind_of(field), row["budget"] or {}
    if kind is Kind.CHOICE:
        return choice_holds(row, field, value) == (op is Op.IS)
    if kind is Kind.KEYED:
        return metadata_holds(row["extra"], op, value, condition.key)
    if kind is Kind.TEXT:
        names = {Field.SAMPLE: "sample", Field.ANSWER: "answer", Field.PROBLEM: "prompt", Field.SOURCE: "source"}
        return text_holds(row[names[field]], op, value)
    scores = row["scores"].values()
    firsts = [error for error in row["errors"] if error is not None]
    numbers: dict[Field, list[Any]] = {
        Field.STEPS: [row["steps"]],
        Field.CHARACTERS: [row["characters"]],
        Field.EPOCH: [row["epoch"]],
        Field.TOKENS: [budget.get("used")],
        Field.THINKING: [budget.get("thinking")],
        Field.ANSWER_TOKENS: [budget.get("answer")],
        Field.LOWEST: [min(said) for said in scores],
        Field.LAST: [said[-1] for said in scores],
        Field.PRODUCT: [said[0] * said[1] * said[2] for said in scores],
        Field.FIRST_ERROR: [min(firsts) + 1] if firsts else [],
    }
    return number_holds([n for n in numbers[field] if n is not None], op, value)


def every_condition(field: Field) -> Iterator[Condition]:
    kind = kind_of(field)
    values = VALUES.get(field) or CHOICES.get(field) or NUMBERS
    for op in OPS[kind]:
        if op in (Op.KNOWN, Op.UNKNOWN):
            yield from (Condition(field, op, "", key) for key in (KEYS if kind is Kind.KEYED else ("",)))
        elif kind is Kind.KEYED:
            said = NUMBERS if op in (Op.LESS, Op.MORE) else values
            yield from (Condition(field, op, value, key) for key, value in itertools.product(KEYS, said))
        else:
            yield from (Condition(field, op, value) for value in values)
