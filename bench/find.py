"""Find, diff and tree on 5,000 traces of 4,000 words (121 MB of text): `python -m bench.find`.

The corpus is written like that of the peers' log script: words of a small list, 8 % of them with a number behind, so
that half a million different words stand in the index. Each query is asked once to warm up and then timed; a page is
50 traces. First hits are timed to the first call that tells of one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from bench.imports import figure
from studio.errors import CancelledError
from studio.store import batches, find_spans, traces
from studio.store.database import Database
from studio.store.find_pattern import Mode
from studio.store.find_spans import Hits, Place, Query
from studio.store.find_words import Vocabulary
from trainer.reasoning.alignment import align

LIST = (
    "so the first term is equal to we need to check whether that holds for all n however wait let me recompute the sum "
    "modulo seven gives three therefore substituting back into the equation yields x squared minus four times y which "
    "is negative hence the case is impossible and the answer must be between twelve and forty two alternatively "
    "consider the triangle ABC with angle bisector"
)
WORDS = LIST.split()
REGEXES = (
    r"sub[a-z]+ing", r"stitu\w+", r"\btriangle ABC\b", r"bisector\d+ wait", r"answer is 33\d", r"modulo (seven|three)",
    r"(?:let me )recompute", r"negative\.? hence", r"impossib\w+ and", r"altern\w+ consider", r"twelve9\d\d\b",
    r"xyzzy\d", r"equat(ion|ed) yields", r"squared\d{4} minus", r"whether .{0,20} holds", r"angle99", r"forty two$",
    r"^wait", r"recompute12\d\d the", r"case is impos",
)  # fmt: skip
SCANS = (r"\b\d\d\d\b", r"[a-z]\d{3}\b", r"\w{13}")  # no literal of three characters, but hits


def main() -> int:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="keep the corpus here between runs")
    parser.add_argument("--traces", type=int, default=5_000)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.workdir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = corpus(folder / f"find-{given.traces}.db", given.traces)
        try:
            met = all([queries(database), expressions(database), scans(database), sides()])
        finally:
            database.close()
    return 0 if met else 1


def text(rng: random.Random, words: int) -> list[str]:
    """Lines of twenty to sixty words."""
    lines, count = [], 0
    while count < words:
        length = rng.randint(20, 60)
        drawn = (rng.choice(WORDS) + (str(rng.randint(0, 9999)) if rng.random() < 0.08 else "") for _ in range(length))
        lines.append(" ".join(drawn))
        count += length
    return lines


def corpus(path: Path, count: int) -> Database:
    """The database with the traces, written when it is not there."""
    written = path.exists()
    database = Database.open(path)
    if written:
        return database
    rng = random.Random(0)
    batch = database.run(lambda c: batches.begin(c, "sample", None))
    for start in range(0, count, 50):
        with database.write() as c:
            for number in range(start, start + 50):
                steps = ["<think>", *text(rng, 4_000), "</think>", f"The answer is {rng.randint(0, 999)}."]
                new = traces.from_steps(f"Problem {number}: {' '.join(text(rng, 40))}", steps)
                traces.add(c, new, batch_id=batch, project_id=None)
    database.run(lambda c: batches.publish(c, batch, {}))
    return database


def timed(work: Callable[[], object], turns: int = 5) -> float:
    """Median milliseconds, after one turn to warm up."""
    work()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1_000


def p95(values: Sequence[float]) -> float:
    """The 95th percentile by nearest rank."""
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def queries(database: Database) -> bool:
    """Words and phrases, in all of a trace."""
    rng = random.Random(1)
    single = [rng.choice(WORDS) + (str(rng.randint(0, 9999)) if k % 2 else "") for k in range(40)]
    phrases = [f'"{" ".join(rng.choices(WORDS, k=2 + k % 2))}"' for k in range(40)]
    met = True
    with database.read() as c:
        for what, asked in (("words", single), ("phrases", phrases)):
            times = [timed(lambda q=q: find_spans.search(c, Query(q))) for q in asked]
            met &= told(f"find {what}, p95 of {len(times)}", p95(times), "ms", 50)
        answers = frozenset({Place.ANSWER})
        scoped = [
            timed(lambda q=q: find_spans.search(c, Query(f"answer is {q}", places=answers))) for q in (1, 33, 335)
        ]
        told("find words in answers alone, slowest of 3", max(scoped), "ms", None)
    return met


def expressions(database: Database) -> bool:
    """Regular expressions with a literal, by the words of the index."""
    with database.read() as c:
        began = time.perf_counter()
        words = Vocabulary.read(c)
        told("reading the words of the index, once", (time.perf_counter() - began) * 1_000, "ms", None)
        times = [timed(lambda e=e: find_spans.search(c, Query(e, Mode.REGEX), vocabulary=words)) for e in REGEXES]
        return told(f"find expressions with a literal, p95 of {len(times)}", p95(times), "ms", 50)


def scans(database: Database) -> bool:
    """Expressions without a literal: when the first hits are told, and how soon a cancel is heard."""
    first: list[float] = []
    with database.read() as c:
        for expression in SCANS:
            first.append(min(first_hit(lambda tell, e=expression: search_telling(c, e, tell)) for _ in range(3)))
    return told("first hits of expressions without a literal, slowest", max(first), "ms", 300)


def search_telling(c: object, expression: str, tell: Callable[[int, int, Sequence[Hits]], None]) -> None:
    """A search without an index that is left as soon as something is told."""
    try:
        find_spans.search(c, Query(expression, Mode.REGEX), limit=10_000, told=tell)  # type: ignore[arg-type]
    except CancelledError:
        return


def first_hit(search: Callable[[Callable[[int, int, Sequence[Hits]], None]], None]) -> float:
    """Milliseconds to the first hits."""
    began, came = time.perf_counter(), [float("inf")]

    def tell(_read: int, _candidates: int, hits: Sequence[Hits]) -> None:
        if hits:
            came[0] = (time.perf_counter() - began) * 1_000
            raise CancelledError("measured")

    search(tell)
    return came[0]


def sides() -> bool:
    """Two traces of 2,000 steps, and the drawing of a tree of 5,000 nodes."""
    rng = random.Random(2)
    left = [" ".join(rng.choices(WORDS, k=25)) for _ in range(2_000)]
    right = [step if rng.random() < 0.6 else " ".join(rng.choices(WORDS, k=25)) for step in left]
    met = told("diff of 2 x 2,000 steps", timed(lambda: align(left, right), 3), "ms", 300)
    return told("tree of 5,000 nodes, one frame whole in sight", tree_frame(), "ms", 33) and met


def tree_frame() -> float:
    """Median milliseconds of a paint."""
    from PySide6.QtWidgets import QApplication

    from studio.app import application
    from studio.store.trace_tree import Branch, TraceTree
    from studio.ui.inspect.tree_view import TreeView
    from studio.ui.theme import Theme
    from trainer.reasoning.prefix_tree import Path as Tried
    from trainer.reasoning.prefix_tree import grow

    app = application([])
    rng = random.Random(3)
    paths = [Tried(tuple(f"{d}{rng.randint(0, 2)}" for d in range(8)), rng.randint(0, 1)) for _ in range(2_400)]
    tree = grow(paths)
    made = TraceTree(
        "?", tree, tuple(Branch(1, "", p.outcome) for p in paths), tuple(tuple(p.steps) for p in paths), 0, "", 0
    )
    view = TreeView(Theme(app))
    view.resize(1_280, 800)
    view.show_tree(made)
    view.show()
    QApplication.processEvents()
    print(f"nodes: {len(tree.parent):,}", file=sys.stderr)
    return timed(view.repaint, 15)


def told(what: str, value: float, unit: str, most: float | None) -> bool:
    """Print a figure; whether it is within its limit."""
    met = most is None or value <= most
    figure(what, round(value, 2), unit, "" if most is None else f"<= {most:g}", met)
    return met


if __name__ == "__main__":
    sys.exit(main())
