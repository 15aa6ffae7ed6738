"""Hits of the answer cache, each as a router asks it: look-up, checksum, decoding, counting (`python -m bench.cache`).

Every answer has four traces of 768 tokens with log-probs; the cache holds 4,000, and the hits are drawn among them.
Beside it a bare read of the same files.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.imports import figure
from trainer.contract.generated import Spent, TokenBytes
from trainer.contract.records import InputRow, TraceRecord
from trainer.routing.cache import Cached
from trainer.routing.values import Check, Effort, Question, Reply, Sample, Tell

KEPT, HITS, SAMPLES, TOKENS = 4_000, 1_000, 4, 768
MOST_MS = 10.0
WORDS = ("so", "then", "next", "minus")


class Writes:
    """A backend whose answers are as long as real ones."""

    name, identity = "a policy", "a policy and its checksum"

    def __init__(self) -> None:
        self._draw = random.Random(0)
        self.asked = 0

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """Traces of words and digits, four to a question."""
        self.asked += len(questions)
        spent = Spent(tokens=SAMPLES * TOKENS)
        return [Reply(tuple(self._sample(each, n) for n in range(SAMPLES)), spent) for each in questions]

    def _sample(self, question: Question, number: int) -> Sample:
        words = " ".join(f"{self._draw.choice(WORDS)} {self._draw.randrange(999)}" for _ in range(TOKENS // 2))
        text = f"<think>\n{words}\n</think>\nAnswer: {number}"
        starts = np.linspace(0, len(text) - 1, TOKENS).astype("<u4")
        values = np.random.default_rng(number).normal(-0.5, 0.3, TOKENS).astype("<f4")
        tokens = TokenBytes(starts=starts.tobytes(), logprobs=values.tobytes(), entropy=values.tobytes())
        trace = TraceRecord(
            id=f"{question.row.id} {number}", row=question.row.id, problem=question.row.problem, reference=None,
            text=text, messages=(), steps=(), model=self.name, tokens=tokens,
        )  # fmt: skip
        return Sample(trace=trace, answer=str(number), mean=-0.5, least=-1.0, tokens=TOKENS)


def main() -> int:
    """Print one JSON line a figure; 1 when the target is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> int:
    model = Writes()
    cache, effort = Cached(model, folder), Effort(n=SAMPLES)

    def ask(number: int) -> Reply:
        problem = f"What is {number} + {number}?"
        row = InputRow(id=str(number), trace="", segmentation=1, problem=problem, steps=(), step_ids=())
        (reply,) = cache.ask([Question(row)], effort, lambda: None, None, None)
        return reply

    for number in range(KEPT):
        ask(number)
    files = [path for path in folder.rglob("*") if path.is_file() and len(path.name) == 64]
    chosen = random.Random(1).choices(range(KEPT), k=HITS)
    hits = [_timed(partial(ask, number)) for number in chosen]
    assert model.asked == KEPT
    assert cache.looked.hits == HITS
    bare = [_timed(files[number].read_bytes) for number in chosen]
    size = sum(path.stat().st_size for path in files) / len(files)
    figure(f"files in the cache, {size / 1024:.0f} KiB each on average", len(files), "files")
    for name, share in (("median", 50), ("p95", 95), ("p99", 99)):
        value = float(np.percentile(hits, share))
        figure(f"cache hit, {name} of {HITS:,}", value, "ms", f"<= {MOST_MS:g}", value <= MOST_MS)
    figure(f"the same file read bare, median of {HITS:,}", float(np.median(bare)), "ms")
    return int(np.percentile(hits, 99) > MOST_MS)


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
