"""How long a rating takes until its commit returned, in a workspace of 100,000 traces of 12 steps.

Measured through the real writer thread, beside a bare sqlite3 commit (WAL, synchronous=FULL) of the same run, and
again while a backup runs, while another process imports rows, and while all of backup, import and the ingest of scores
go on. Prints a JSON line a figure.

    python -m bench.rating_store [--workdir DIR] [--traces N] [--ratings N]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from studio.store import annotations, backup, batches, projects, queue, scores, traces
from studio.store.database import Database
from trainer.contract.records import Rating, ScoreRecord, ScorerRef
from trainer.reasoning.split import fold_of

STEPS = 12
SHORTEST, LONGEST = 0.002, 0.06  # seconds between two ratings: more than a person can


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="keep the big workspace here between runs")
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--ratings", type=int, default=600)
    parser.add_argument("--child", choices=("import", "ingest"), help=argparse.SUPPRESS)
    parser.add_argument("--database", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        return write_batch(given.database, given.child)
    with contextlib.ExitStack() as stack:
        folder = given.workdir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        database = Database.open(build(folder, given.traces))
        stack.callback(database.close)
        Measure(database, folder, given.ratings).all()
    return 0


class Measure:
    """One run of all measurements on one workspace."""

    def __init__(self, database: Database, folder: Path, ratings: int) -> None:
        self.database, self.folder, self.ratings = database, folder, ratings
        self.dice = random.Random(int(time.time()))
        with database.read() as c:
            project = projects.by_name(c, "Bench")
            assert project is not None
            self.project, (self.person, *_) = project, projects.annotators(c)

    def all(self) -> None:
        """Every figure, the bare commit before and after."""
        self.commits("bare WAL/FULL commit, before", self.bare())
        self.commits("rating", self.rate(), must=16)
        with running(self.back_up):
            self.commits("rating during a backup", self.rate(), must=16)
        path = self.database.path
        with beside("import", path):
            self.commits("rating during an import", self.rate(), must=16)
        with beside("import", path), beside("ingest", path), running(self.back_up):
            self.commits("rating during an import, an ingest and a backup", self.rate(), must=16)
        self.commits("bare WAL/FULL commit, after", self.bare())
        self.commits("submit and lend the next", self.submit())
        self.reads()

    def rate(self) -> list[float]:
        """Seconds from the call to the commit's return, ratings at random traces as a person's key would make them."""
        times = []
        done = 0
        while done < self.ratings:
            work = self.work()
            for ordinal in range(min(STEPS, self.ratings - done)):
                value = Rating.POSITIVE if self.dice.random() < 0.7 else Rating.NEUTRAL
                began = time.perf_counter()
                self.database.submit(
                    lambda c, o=ordinal, v=value, w=work: annotations.rate(c, w, o, v, shown_ms=900)  # type: ignore[misc]
                ).result()
                times.append(time.perf_counter() - began)
                time.sleep(self.dice.uniform(SHORTEST, LONGEST))
                done += 1
        return times

    def submit(self) -> list[float]:
        """Seconds of a submit with the lending of the next trace."""
        times = []
        for _ in range(60):
            work = self.work()
            self.database.submit(lambda c, w=work: annotations.rate(c, w, 0, Rating.NEGATIVE)).result()  # type: ignore[misc]
            began = time.perf_counter()
            self.database.submit(lambda c, w=work: annotations.submit(c, w, active_ms=5)).result()  # type: ignore[misc]
            self.database.submit(
                lambda c, w=work: queue.next_trace(c, self.project.id, self.person.id, after=w.trace_id)  # type: ignore[misc]
            ).result()
            times.append(time.perf_counter() - began)
        return times

    def reads(self) -> None:
        """The reads of the labelling screen, best of several."""
        with self.database.read() as c:
            p, a = self.project.id, self.person.id
            for what, look in (
                ("queue.upcoming(4)", lambda: queue.upcoming(c, p, a, 4)),
                ("queue.left", lambda: queue.left(c, p, a)),
                ("queue.done_today", lambda: queue.done_today(c, p, a)),
                ("annotations.can_undo", lambda: annotations.can_undo(c, a, p)),
            ):
                times = []
                for _ in range(25):
                    began = time.perf_counter()
                    look()
                    times.append(time.perf_counter() - began)
                self.say(f"{what} p50", sorted(times)[12] * 1000)

    def bare(self) -> list[float]:
        """Seconds of a commit of three small rows with sqlite3 alone, in a file of its own on the same disk."""
        path = self.folder / "bare.db"
        for file in self.folder.glob("bare.db*"):
            file.unlink()
        times = []
        with closing(sqlite3.connect(path, isolation_level=None)) as bare:
            bare.execute("PRAGMA journal_mode=WAL")
            bare.execute("PRAGMA synchronous=FULL")
            bare.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)")
            for _ in range(200):
                began = time.perf_counter()
                bare.execute("BEGIN IMMEDIATE")
                for _ in range(3):
                    bare.execute("INSERT INTO t (data) VALUES (?)", ("x" * 120,))
                bare.execute("COMMIT")
                times.append(time.perf_counter() - began)
                time.sleep(self.dice.uniform(SHORTEST, LONGEST))
        return times

    def back_up(self, stop: threading.Event) -> None:
        """Backups, one after the other."""
        while not stop.is_set():
            backup.make(self.database, self.folder / "backups")
            for extra in backup.all_backups(self.folder / "backups")[1:]:
                extra.path.unlink()

    def work(self) -> annotations.Work:
        """A random trace that this person has not begun."""
        with self.database.read() as c:
            last = c.exec_driver_sql("SELECT max(trace_id) FROM project_trace").scalar_one()
            while True:
                work = annotations.Work(self.project.id, self.dice.randint(1, last), self.person.id)
                if annotations.current(c, work) is None and self.is_here(c, work):
                    return work

    def is_here(self, c: Connection, work: annotations.Work) -> bool:
        """Whether the trace is in the project."""
        where = f"project_id = {work.project_id} AND trace_id = {work.trace_id} AND batch_id = 1"
        return bool(c.exec_driver_sql(f"SELECT 1 FROM project_trace WHERE {where}").first())

    def commits(self, what: str, times: list[float], must: float | None = None) -> None:
        """Median and 95th percentile, and the longest."""
        ordered = sorted(times)
        self.say(f"{what} p50", ordered[len(ordered) // 2] * 1000)
        self.say(f"{what} p95", ordered[int(len(ordered) * 0.95)] * 1000, must)
        self.say(f"{what} max", ordered[-1] * 1000)

    def say(self, what: str, value: float, must: float | None = None) -> None:
        """One JSON line."""
        print(json.dumps({"what": what, "value": round(value, 3), "unit": "ms", "must": must}), flush=True)


@contextlib.contextmanager
def running(job: Callable[[threading.Event], None]) -> Iterator[None]:
    """A thread that works until the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=job, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def beside(kind: str, path: Path) -> Iterator[None]:
    """Another process that writes a batch until the end of the block, and then removes it."""
    command = [sys.executable, "-m", "bench.rating_store", "--child", kind, "--database", str(path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.readline()  # the first rows are in
    try:
        yield
    finally:
        child.stdin.close()
        print(child.stdout.readline(), end="", flush=True)
        child.wait()


def write_batch(path: Path, kind: str) -> int:
    """The child of `beside`: bulk writes through the store until stdin ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    database = Database.open(path)
    with database.write() as c:
        batch = batches.begin(c, kind)
    rows, store = (new_traces(), add_traces) if kind == "import" else (score_records(), scores.store_records)
    began, told = time.perf_counter(), False

    def stored(_: int) -> None:
        nonlocal told
        if not told:
            print("writing", flush=True)
        told = True

    total = database.write_in_slices(
        rows, lambda c, piece: store(c, batch, piece), checked=False, stop=ended.is_set, stored=stored
    )
    rate = round(total / (time.perf_counter() - began))
    print(json.dumps({"what": f"traces of the {kind} meanwhile", "value": rate, "unit": "traces/s", "must": None}))
    batches.remove(database, batch)
    database.close()
    return 0


def new_traces() -> Iterator[traces.NewTrace]:
    """Traces without end."""
    for number in itertools.count():
        yield traces.from_steps(f"Import {time.time()} {number}", [f"step {k}" for k in range(STEPS)])


def add_traces(c: Connection, batch: int, piece: Sequence[traces.NewTrace]) -> None:
    """Store traces one by one: dearer than the importer's own way, so a harder test."""
    for row in piece:
        traces.add(c, row, batch_id=batch)


def score_records() -> Iterator[ScoreRecord]:
    """Scores of the workspace's traces, by a new scorer in every round."""
    for number in itertools.count():
        scorer = ScorerRef(name="bench", version=f"{time.time_ns()}")
        for trace in range(1, 5001):
            yield ScoreRecord(
                id=f"{scorer.version}-{trace}",
                row=str(number),
                trace=f"{trace:032x}",
                segmentation=1,
                scorer=scorer,
                values=(0.5,) * STEPS,
            )


def build(folder: Path, wanted: int) -> Path:
    """The workspace of `wanted` traces, made once a folder: bulk inserts of the same rows that an import writes."""
    path = folder / f"rating-{wanted}.db"
    if path.exists():
        return path
    aside = folder / f"making-{wanted}.db"
    for file in folder.glob(f"{aside.name}*"):
        file.unlink()
    database = Database.open(aside)
    with database.write() as c:
        project = projects.create(c, "Bench")
        projects.ensure_annotator(c, "Ada")
        batches.publish(c, batches.begin(c, "import", project.id), {})
        raw = c.connection.driver_connection
        assert raw is not None
        for sql, rows in tables(project.id, wanted):
            raw.executemany(sql, rows)
    database.close()
    aside.replace(path)
    return path


def tables(project_id: int, wanted: int) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    """Statements and rows that fill the workspace."""
    step = "So we multiply both sides by $\\frac{3}{4}$ and get $x = 12$, as $9 + 3 = 12$."
    text, blocks = "\n\n".join([step] * STEPS), json.dumps([["answer", 0, (len(step) + 2) * STEPS - 2]])
    n = range(1, wanted + 1)
    fold = fold_of("Problem")
    yield (
        "INSERT INTO problem (id, uid, prompt, source, fold) VALUES (?, ?, ?, '', ?)",
        ((k, f"p{k}", f"Problem {k}: what is $x$ if $\\frac{{4}}{{3}}x = {k}$?", fold) for k in n),
    )
    yield (
        "INSERT INTO trace (id, uid, problem_id, batch_id, line, text, created_at) VALUES (?, ?, ?, 1, ?, ?, '2026')",
        ((k, f"{k:032x}", k, k, text) for k in n),
    )
    yield (
        "INSERT INTO message (trace_id, ordinal, role, blocks) VALUES (?, 0, 'assistant', ?)",
        ((k, blocks) for k in n),
    )
    yield (
        "INSERT INTO segmentation (id, trace_id, version, method, created_at) VALUES (?, ?, 1, 'import', '2026')",
        ((k, k) for k in n),
    )
    yield (
        'INSERT INTO step (segmentation_id, ordinal, step_id, start, "end") VALUES (?, ?, ?, ?, ?)',
        ((k, o, o, o * (len(step) + 2), o * (len(step) + 2) + len(step)) for k in n for o in range(STEPS)),
    )
    yield (
        "INSERT INTO project_trace (project_id, trace_id, position, batch_id) VALUES (?, ?, ?, 1)",
        ((project_id, k, k) for k in n),
    )


if __name__ == "__main__":
    raise SystemExit(main())
