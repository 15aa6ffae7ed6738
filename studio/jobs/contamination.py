"""Whether problems that are learned from stand in a benchmark, word for word or nearly, however far back that was."""

from __future__ import annotations

import argparse
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from studio.errors import CancelledError, ImportFormatError, NotFoundError, RunError
from studio.exchange.telling import CANCELLED, Teller, cancellable
from studio.jobs.ancestry import ancestry, training_rows
from studio.jobs.compare import named_runs
from studio.store import batches, projects
from studio.store import schema as s
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.reasoning.split import fold_of

FIELDS = ("problem", "question", "prompt")
GRAM = 8  # words
THRESHOLD = 0.5
SHOWN_PAIRS, WIDTH = 20, 100
EVERY = 64  # problems between two words of progress
_WORD = re.compile(r"\w+|[-+*/=<>^]")  # 3+1 is not 3-1
Progress = Callable[[str, int, int], None]


class Likeness(StrEnum):
    """How two problems are alike."""

    EQUAL = "equal"  # the same text under NFKC, casefold and single spaces
    NEAR = "near"  # so many runs of eight words in common
    WITHIN = "within"  # so many of them stand in the text that answers another problem


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that is learned from; `row` names it (a row of the run, or the problem's uid).

    `solution` is the text that answers it; `run` is the uid of the run whose row it is.
    """

    row: str
    text: str
    solution: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A problem beside the benchmark's; `overlap` is the share of the latter's word 8-grams that stand in it.

    `row` is one of the run's rows; the run is "" where a project was compared.
    """

    row: str
    problem: str
    line: int
    benchmark: str
    likeness: Likeness
    overlap: float
    run: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A run whose rows were compared, or that was passed on the way (`rows` 0): how it was come to, and its finds."""

    run: str
    name: str
    recipe: str
    role: str
    of: str
    rows: int
    found: int  # pairs


@dataclass(frozen=True, slots=True)
class Contamination:
    """What was compared and which pairs were found.

    `sources` are the run and all that it builds on, nearest first; of models that come from `outside` nothing is known.
    """

    of: str
    against: str
    threshold: float
    problems: int  # distinct ones that are learned from
    benchmark: int  # distinct ones of the benchmark
    equal: int  # of the benchmark's problems
    near: int  # of the benchmark's problems that no problem equals
    pairs: tuple[Pair, ...]
    sources: tuple[Source, ...] = ()
    outside: tuple[str, ...] = ()

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.problems:,} problems of {self.of} against {self.benchmark:,} of {self.against}"
        yield from (_told(source) for source in self.sources[1:])
        yield from (
            f"  {outside} was not made in this workspace: what it learned is not known" for outside in self.outside
        )
        if not self.pairs:
            yield f"none is equal, none has {self.threshold:.0%} of a problem's runs of {GRAM} words"
            return
        yield (
            f"{self.equal:,} problems of the benchmark are learned from word for word, {self.near:,} nearly "
            f"(at least {self.threshold:.0%} of its runs of {GRAM} words)"
        )
        names = {source.run: source.name for source in self.sources}
        for pair in self.pairs[:SHOWN_PAIRS]:
            yield f"  {pair.likeness.value} {pair.overlap:.0%}  line {pair.line}: {_short(pair.benchmark)}"
            whose = f"run {names.get(pair.run, pair.run)!r}, row " if pair.run else ""
            yield f"    {whose}{pair.row}: {_short(pair.problem)}"
        if len(self.pairs) > SHOWN_PAIRS:
            yield f"  and {len(self.pairs) - SHOWN_PAIRS:,} more pairs; --json lists them all"


def _told(source: Source) -> str:
    """A run on the way in a line."""
    rows = f"{source.rows:,} training rows, {source.found:,} pairs" if source.rows else "learned nothing itself"
    return f"  run {source.name!r} ({source.recipe}) {source.role} run {source.of!r}: {rows}"


class Benchmark:
    """The problems of a benchmark, indexed by their text and by their runs of words."""

    def __init__(self, problems: Iterable[tuple[int, str]]) -> None:
        self.lines: list[int] = []
        self.texts: list[str] = []
        self._sizes: list[int] = []
        self._by_fold: dict[str, int] = {}
        self._by_gram: dict[str, list[int]] = {}
        for line, text in problems:
            self._add(line, text)

    def __len__(self) -> int:
        """How many distinct problems."""
        return len(self.texts)

    def _add(self, line: int, text: str) -> None:
        fold = fold_of(text)
        if fold in self._by_fold:
            return
        number = self._by_fold[fold] = len(self.texts)
        grams = grams_of(text)
        self.lines.append(line)
        self.texts.append(text)
        self._sizes.append(len(grams))
        for gram in grams:
            self._by_gram.setdefault(gram, []).append(number)

    def alike(self, text: str, threshold: float, solution: str = "") -> Iterator[tuple[int, Likeness, float]]:
        """The number, likeness and overlap of each problem that this one, or the text that answers it, gives away."""
        same = self._by_fold.get(fold_of(text))
        known = set() if same is None else {same}
        if same is not None:
            yield same, Likeness.EQUAL, 1.0
        for likeness, words in ((Likeness.NEAR, text), (Likeness.WITHIN, solution)):
            shared = Counter(number for gram in grams_of(words) for number in self._by_gram.get(gram, ()))
            for number, count in shared.items():
                overlap = count / self._sizes[number]
                if number not in known and overlap >= threshold:
                    known.add(number)
                    yield number, likeness, overlap


def grams_of(text: str) -> frozenset[str]:
    """Runs of eight words and signs of arithmetic, under NFKC and casefold; a shorter text is one run."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(words) < GRAM:
        return frozenset({" ".join(words)} if words else ())
    return frozenset(" ".join(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1))


def read_benchmark(path: Path, tell: Progress) -> Iterator[tuple[int, str]]:
    """Line numbers and problems of a JSON Lines file. Raises ImportFormatError with file and line, RunError."""
    try:
        size, done = path.stat().st_size, 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                done += len(line)
                if number % EVERY == 1:
                    tell("reading the benchmark", done, size)
                if line.strip():
                    yield number, _problem_of(path, number, line)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; name a JSON Lines file of problems") from error


def _problem_of(path: Path, number: int, line: bytes) -> str:
    try:
        said: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ImportFormatError(path, number, f"not JSON: {error}", "give a JSON Lines file") from error
    for field in FIELDS:
        found = _text(said.get(field)) if isinstance(said, dict) else ""
        if found:
            return found
    raise ImportFormatError(path, number, "there is no problem", f"one of {', '.join(FIELDS)} must hold its text")


def _text(value: object) -> str:
    """A problem's text: itself, in PRM800K's question, or what the user says last in a chat."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return _text(value.get("problem") or value.get("content"))
    if isinstance(value, list):
        asked = [turn for turn in value if isinstance(turn, dict) and turn.get("role") == "user"]
        return _text(asked[-1]) if asked else ""
    return ""


def project_problems(c: Connection, project: str) -> tuple[int, Iterator[Problem]]:
    """How many distinct problems a project's traces have, and these. Raises NotFoundError."""
    found = projects.by_name(c, project)
    if found is None:
        raise NotFoundError(f"there is no project {project!r} in this workspace")
    query = (
        select(s.problem.c.uid, s.problem.c.prompt)
        .join(s.trace, s.trace.c.problem_id == s.problem.c.id)
        .join(s.project_trace, s.project_trace.c.trace_id == s.trace.c.id)
        .join(s.batch, s.batch.c.id == s.trace.c.batch_id)
        .where(s.project_trace.c.project_id == found.id, s.batch.c.state == batches.PUBLISHED)
        .group_by(s.problem.c.id)
    )
    count = int(c.scalar(select(func.count()).select_from(query.subquery())) or 0)
    rows = c.execution_options(yield_per=500).execute(query)
    return count, (Problem(row.uid, row.prompt) for row in rows)


def run_problems(workspace: Workspace, run: StoredRun) -> Iterator[Problem]:
    """The problems of a run's training rows with the texts that answer them. Raises RunError."""
    for row in training_rows(workspace, run):
        yield Problem(row.id, row.problem, "\n".join(row.steps) if row.response is None else row.response, run.uid)


def check(
    problems: Iterable[Problem],
    total: int,
    benchmark: Benchmark,
    *,
    of: str,
    against: str,
    threshold: float,
    tell: Progress,
) -> Contamination:
    """Compare problem by problem; of each run each text once. Only the benchmark and finds are held in memory."""
    seen: set[tuple[str, str]] = set()  # of each run the problems, and with them the texts that answer them
    distinct: set[str] = set()
    pairs: list[tuple[int, Pair]] = []
    for number, each in enumerate(problems):
        if number % EVERY == 0:
            tell("comparing problems", number, total)
        fold = fold_of(each.text)
        distinct.add(fold)
        problem, answered = (each.run, fold), (each.run, f"{fold} {_digest(each.solution)}")
        text = "" if problem in seen else each.text
        solution = "" if answered in seen else each.solution
        seen |= {problem, answered}
        for other, likeness, overlap in benchmark.alike(text, threshold, solution):
            line, theirs = benchmark.lines[other], benchmark.texts[other]
            pairs.append((other, Pair(each.row, each.text, line, theirs, likeness, overlap, each.run)))
    equal = {other for other, pair in pairs if pair.likeness is Likeness.EQUAL}
    near = {other for other, _ in pairs} - equal
    found = sorted((pair for _, pair in pairs), key=lambda pair: (-pair.overlap, pair.likeness, pair.line, pair.row))
    return Contamination(of, against, threshold, len(distinct), len(benchmark), len(equal), len(near), tuple(found))


def check_run(
    workspace: Workspace, run: StoredRun, benchmark: Benchmark, *, against: str, threshold: float, tell: Progress
) -> Contamination:
    """The training rows of a run and of every run it builds on. Raises RunError, and what `tell` raises."""
    tell("following what it builds on", 0, 1)
    found = ancestry(workspace, run)
    learned = [one.run for one in found.runs if one.learned]
    problems = (problem for one in learned for problem in run_problems(workspace, one))
    total = sum(one.rows for one in learned)
    more = f" and of {len(learned) - 1:,} more that it builds on" if len(learned) > 1 else ""
    of = f"the training rows of run {run.name!r}{more}"
    made = check(problems, total, benchmark, of=of, against=against, threshold=threshold, tell=tell)
    counts = Counter(pair.run for pair in made.pairs)
    names = {one.run.uid: one.run.name for one in found.runs}
    sources = [
        Source(
            one.run.uid, one.run.name, one.run.recipe, one.role, names.get(one.of, ""),
            one.run.rows if one.learned else 0, counts[one.run.uid],
        )
        for one in found.runs
    ]  # fmt: skip
    return replace(made, sources=tuple(sources), outside=found.outside)


def verb(args: argparse.Namespace) -> int:
    """`steplens contamination`: 1 when a problem of the benchmark is learned from, 0 when none is."""
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:

            def tell(phase: str, done: int, total: int) -> None:
                if stop():
                    raise CancelledError("cancelled; nothing was compared to the end")
                teller(phase, done, total, "")

            found = _checked(workspace, args, tell)
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    if args.json:
        teller.say(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        teller.report(found)
    return 1 if found.pairs else 0


def _checked(workspace: Workspace, args: argparse.Namespace, tell: Progress) -> Contamination:
    if not 0 < args.threshold <= 1:
        raise RunError(f"--threshold {args.threshold}: give a share over 0, at most 1")
    against, threshold = args.against.name, args.threshold
    with workspace.database.read() as c:
        if args.run is None:
            total, problems = project_problems(c, args.project)
            benchmark, of = _benchmark(args.against, tell), f"project {args.project!r}"
            return check(problems, total, benchmark, of=of, against=against, threshold=threshold, tell=tell)
        (run,) = named_runs(c, [args.run])
    benchmark = _benchmark(args.against, tell)
    return check_run(workspace, run, benchmark, against=against, threshold=threshold, tell=tell)


def _benchmark(path: Path, tell: Progress) -> Benchmark:
    found = Benchmark(read_benchmark(path, tell))
    if not len(found):
        raise RunError(f"{path} has no problems; name a JSON Lines file of problems")
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
