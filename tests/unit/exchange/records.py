"""PRM800K records of our own for the tests: every trap of the format, by a seeded generator."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]
TEXTS = (
    "Let $x = 3$.",
    r"So $\frac{a}{b} = \sqrt[3]{2^{k}}$.",
    "",
    "carriage\r\nreturn and\ttab",
    "a NUL \x00 inside",
    "Größe, 数学, 😀, \u202e, e\u0301",
    "two\n\nparagraphs\n\n",
    '"quoted": {"not": "json"} \\" : ',
    "  blanks around  ",
    "# Answer\n\n42",
    "\ufeff mark",
    "line\u2028separator",
)
LABELERS = ("cc88bf76-df08-4041-be67-3464279cb3b1", "e90a38f3-3135-4465-87af-3e6322e3d772", "", "Ünïcode", None)
VALUES: tuple[Any, ...] = (
    1,
    1.0,
    0,
    -0.0,
    0.010779580529581414,
    2**63,
    -(10**30),
    1e-300,
    5e-324,
    1.7976931348623157e308,
    True,
    False,
    None,
    "",
    "text",
    [],
    {},
    [1, 1.0, {"a": [None]}],
    {"extra": {"n": 1}, "prm800k": [1]},
)


def exact(value: object) -> object:
    """A value that is equal only to one of the same types: 1 is not 1.0, -0.0 not 0.0; the order of keys is nothing."""
    if isinstance(value, dict):
        return {key: exact(each) for key, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    if isinstance(value, float):
        return ("float", repr(value), math.copysign(1, value))
    return (type(value).__name__, value)


class Generator:
    """Makes records; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def records(self, number: int) -> Iterator[Record]:
        """Records of both phases; some questions come again with another annotation, some records are equal."""
        made: list[Record] = []
        for _ in range(number):
            if made and self.chance(0.05):
                record = self.random.choice(made)
            else:
                question = self.random.choice(made)["question"] if made and self.chance(0.3) else self.question()
                record = self.record(question)
            made.append(record)
            yield record

    def line(self, record: Record) -> bytes:
        """The record as a line, in one of the ways in which JSON may be written."""
        record = self.shuffled(record)
        compact = (",", ":") if self.chance(0.5) else (", ", ": ") if self.chance(0.8) else (" , ", " : ")
        text = json.dumps(record, ensure_ascii=self.chance(0.5), separators=compact)
        return text.encode() + (b"\r\n" if self.chance(0.1) else b"\n")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def text(self) -> str:
        return " ".join(self.random.choice(TEXTS) for _ in range(self.random.randint(1, 3)))

    def shuffled(self, value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            self.random.shuffle(keys)
            return {key: self.shuffled(value[key]) for key in keys}
        return [self.shuffled(each) for each in value] if isinstance(value, list) else value

    def spoiled(self, owner: Record, optional: tuple[str, ...], share: float = 0.08) -> Record:
        """Some optional keys taken out, some unknown ones put in."""
        kept = {key: value for key, value in owner.items() if key not in optional or not self.chance(share)}
        if self.chance(share):
            kept[self.random.choice(("_id", "note", "extra", "keys", "ключ", "", "prm800k"))] = self.random.choice(
                VALUES
            )
        return kept

    def question(self) -> Record:
        question: Record = {
            "problem": self.text(),
            "ground_truth_solution": self.random.choice((self.text(), None)),
            "ground_truth_answer": self.random.choice((self.text(), "", None)),
        }
        if self.chance(0.65):
            question["pre_generated_steps"] = [self.text() for _ in range(self.random.randint(0, 9))]
            question["pre_generated_answer"] = self.random.choice((self.text(), "", None))
            question["pre_generated_verifier_score"] = self.random.choice(VALUES)
        elif self.chance(0.3):
            question["pre_generated_steps"] = None
            question["pre_generated_answer"] = self.random.choice((self.text(), None))
        return self.spoiled(question, tuple(key for key in question if key not in ("problem", "pre_generated_steps")))

    def record(self, question: Record) -> Record:
        record = {
            "labeler": self.random.choice(LABELERS),
            "timestamp": self.random.choice(("2023-01-22T04:34:27.052924", "", None)),
            "generation": self.random.choice((None, 0, 9, -1, 2**62)),
            "is_quality_control_question": self.random.choice((False, True, None)),
            "is_initial_screening_question": self.random.choice((False, True, None)),
            "question": question,
            "label": self.label(question.get("pre_generated_steps")),
        }
        return self.spoiled(record, tuple(key for key in record if key not in ("question", "label")))

    def label(self, given: list[str] | None) -> Record:
        number = self.random.randint(0, 8 if given is None else len(given) + (1 if self.chance(0.05) else 0))
        label = {
            "steps": [self.step(given[at] if given and at < len(given) else None) for at in range(number)],
            "total_time": self.random.choice((None, 0, 92405, 2**40)),
            "finish_reason": self.random.choice(("found_error", "solution", "bad_problem", "give_up", None)),
        }
        return self.spoiled(label, ("total_time", "finish_reason"))

    def step(self, given: str | None) -> Record:
        number = self.random.choice((1, 1, 1, 1, 2, 7))
        completions: list[Record] | None = [self.completion(self.text()) for _ in range(number)]
        if given is not None and completions and self.chance(0.9):
            completions[0 if self.chance(0.9) else self.random.randrange(number)]["text"] = given
        if self.chance(0.08):
            completions = self.random.choice((None, []))
        step = {
            "completions": completions,
            "human_completion": self.human() if self.chance(0.15) else None,
            "chosen_completion": self.chosen(completions),
        }
        return self.spoiled(step, tuple(step))

    def chosen(self, completions: list[Record] | None) -> int | None:
        if not completions or self.chance(0.15):
            return None
        return 0 if self.chance(0.7) else self.random.randrange(len(completions))

    def completion(self, text: str) -> Record:
        completion = {
            "text": text,
            "rating": self.random.choice((1, 1, 0, -1, None)),
            "flagged": self.random.choice((None, False, True)),
        }
        return self.spoiled(completion, ("rating", "flagged"), 0.04)

    def human(self) -> Record | str:
        if self.chance(0.1):
            return self.text()
        human = {"text": self.text(), "rating": self.random.choice((None, None, 1))}
        human |= {"source": "human", "flagged": self.random.choice((None, False, True)), "corrected_rating": None}
        return self.spoiled(human, ("rating", "source", "flagged", "corrected_rating"), 0.2)
