"""PRM800K-like records for the measurements: phase 2, made-up mathematics, each record with its own question."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = """
    let us first consider the prime factorization of number so that we can write equation as and then divide both
    sides by common factor which gives value for variable since sum must equal total therefore area triangle half
    base times height because angle between two lines is right substitute back into original
""".split()  # noqa: SIM905 - a page of words reads better than a list
MATHS = (
    r"$x^2+3x-4=0$",
    r"$\frac{2}{5}$",
    r"$3x-7=\frac{5x}{2}$",
    r"$\sqrt{a^2+b^2}$",
    r"$2^{k+1}=2\cdot 2^k$",
    r"$\sum_{i=1}^{n} i=\frac{n(n+1)}{2}$",
    r"$\binom{8}{3}=56$",
)
SENTENCES = 5000
LABELERS = 20


class Records:
    """A seeded source of records with a fixed number of steps; texts are drawn from a stock and carry own numbers."""

    def __init__(self, *, steps: int = 12, seed: int = 800) -> None:
        self.steps, self._random = steps, random.Random(seed)
        self._stock = [self._sentence() for _ in range(SENTENCES)]
        self._labelers = [str(uuid.UUID(int=self._random.getrandbits(128))) for _ in range(LABELERS)]

    def take(self, number: int) -> Iterator[dict[str, Any]]:
        """So many records; in a third of them an error is found."""
        for at in range(number):
            yield self._record(at)

    def write(self, path: Path, number: int) -> None:
        """Write so many records as JSONL."""
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(record) + "\n" for record in self.take(number))

    def write_bytes(self, path: Path, size: int) -> int:
        """Write records until the file has this size; returns how many."""
        at = 0
        with path.open("wb") as stream:
            while stream.tell() < size:
                stream.write(json.dumps(self._record(at)).encode() + b"\n")
                at += 1
        return at

    def _sentence(self) -> str:
        words = [self._random.choice(WORDS) for _ in range(self._random.randint(8, 28))]
        for _ in range(max(1, len(words) // 9)):
            words.insert(self._random.randrange(len(words) + 1), self._random.choice(MATHS))
        return " ".join(words).capitalize()

    def _text(self) -> str:
        return f"{self._random.choice(self._stock)} {self._random.randrange(100_000)}."

    def _record(self, at: int) -> dict[str, Any]:
        steps = [self._text() for _ in range(self.steps)]
        answer = str(self._random.randrange(1000))
        steps[-1] += f"\n\n# Answer\n\n{answer}"
        wrong = self._random.randrange(self.steps) if at % 3 == 0 else None
        rated = self.steps if wrong is None else wrong + 1
        return {
            "labeler": self._random.choice(self._labelers),
            "timestamp": "2023-01-22T04:34:27.052924",
            "generation": at % 10,
            "is_quality_control_question": False,
            "is_initial_screening_question": False,
            "question": {
                "problem": f"[{at}] {self._text()} {self._text()}",
                "ground_truth_solution": self._text(),
                "ground_truth_answer": answer,
                "pre_generated_steps": steps,
                "pre_generated_answer": answer,
                "pre_generated_verifier_score": self._random.random(),
            },
            "label": {
                "steps": [self._step(text, is_wrong=number == wrong) for number, text in enumerate(steps[:rated])],
                "total_time": self._random.randrange(10_000, 1_000_000),
                "finish_reason": "solution" if wrong is None else "found_error",
            },
        }

    def _step(self, text: str, *, is_wrong: bool) -> dict[str, Any]:
        rating = -1 if is_wrong else self._random.choice((1, 1, 1, 0))
        completion = {"text": text, "rating": rating, "flagged": None}
        return {
            "completions": [completion],
            "human_completion": None,
            "chosen_completion": None if is_wrong else 0,
        }
