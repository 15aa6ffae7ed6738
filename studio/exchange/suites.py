"""Files of evaluation suites to rows: every line checked, named by its content, with what its suite needs beside it.

A row's id is the suite, the file's own id where it has one, and a hash of all that is asked: two runs with equal ids
had the same problem, and a problem that was changed is another one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from studio.errors import ImportFormatError
from studio.exchange.reading import BrokenRecord, parse
from studio.store.regressions import Regression
from trainer.contract.records import InputRow, Split
from trainer.contract.specs.evaluate import Suite
from trainer.reasoning import grids
from trainer.reasoning.benchmarks import ORIGINAL, REDUNDANT

Fields = Mapping[str, Any]
_PROBLEM = ("problem", "question", "prompt", "description")
_ANSWER = ("answer", "reference", "reference_answer", "ground_truth", "ground_truth_answer", "target")
_GOLD = re.compile(r"####\s*(\S[^\n]*)")


class _Wrong(Exception):
    """What is wrong with a row, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, slots=True)
class _Row:
    """What a line says, before it is named. `beside` is kept with `extra` and is no part of what the row's id names."""

    problem: str
    reference: str | None = None
    own: str = ""
    steps: tuple[str, ...] = ()
    extra: Fields = field(default_factory=dict)
    beside: Fields = field(default_factory=dict)


def read_suite(suite: Suite, paths: Sequence[Path], *, limit: int = 0, seed: int = 0) -> tuple[InputRow, ...]:
    """The rows of files (or of the JSON and JSONL files in folders), in their order. Raises ImportFormatError.

    `limit` of them when there are more: which, the seed says, and for a larger limit the same and others. Of PRMBench's
    rows with the same class and name the first counts, as in its own evaluation.
    """
    found: dict[str, tuple[InputRow, Path, int]] = {}
    named: set[str] = set()
    for path in _files(paths):
        for line, value in _values(path):
            try:
                made = list(_READERS[suite](value, path))
            except (_Wrong, grids.NotAGrid) as error:
                remedy = getattr(error, "remedy", _WANTED[suite])
                raise ImportFormatError(path, line, str(error), remedy or _WANTED[suite]) from error
            for each in made:
                if suite is Suite.PRMBENCH and each.own in named:
                    continue
                named.update(filter(None, [each.own]))
                row = _named(suite, each, path)
                if row.id in found:
                    _, before, at = found[row.id]
                    raise ImportFormatError(path, line, f"the same row as {before}:{at}", "remove one of them")
                found[row.id] = (row, path, line)
    if not found:
        raise ImportFormatError(", ".join(map(str, paths)), 0, "there are no rows", _WANTED[suite])
    rows = [row for row, _, _ in found.values()]
    return tuple(drawn(rows, limit, seed))


def regression_rows(regressions: Iterable[Regression]) -> tuple[InputRow, ...]:
    """The rows of the suite `regressions`."""
    return tuple(
        InputRow(
            id=f"{Suite.REGRESSIONS}:{each.uid}",
            trace=each.trace_uid,
            segmentation=0,
            problem=each.problem,
            steps=(),
            step_ids=(),
            reference=each.reference,
            split=Split.TEST,
            origin=each.name,
            extra={"prefix": each.prefix, "span": each.span, "must": each.must.value},
        )
        for each in regressions
    )


def drawn(rows: Sequence[InputRow], limit: int, seed: int) -> list[InputRow]:
    """At most `limit` problems (0 = all) in their order, those that the seed puts first; a task is one problem."""
    units = dict.fromkeys(map(_unit, rows))
    if not limit or len(units) <= limit:
        return list(rows)
    kept = set(sorted(units, key=lambda unit: hashlib.sha256(f"{seed} {unit}".encode()).digest())[:limit])
    return [row for row in rows if _unit(row) in kept]


def _unit(row: InputRow) -> str:
    """What is drawn together: the test inputs of a task, else a row by itself."""
    return str(row.extra.get("task", row.id))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in (".json", ".jsonl"))
            if not inside:
                raise ImportFormatError(path, 0, "the folder has no .json or .jsonl file", "name the file")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise ImportFormatError(path, 0, "there is no such file", "name a file with the suite's rows")


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    """Each line's JSON with its number; a .json file is one value, or a list of them."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImportFormatError(path, 0, f"cannot be read: {error.strerror}", "check the path") from error
    if path.suffix == ".json":
        try:
            value = parse(data)
        except BrokenRecord as error:
            raise ImportFormatError(path, 1, error.what, error.remedy) from error
        yield from enumerate(value, 1) if isinstance(value, list) else ((1, value),)
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield number, parse(line)
            except BrokenRecord as error:
                raise ImportFormatError(path, number, error.what, error.remedy) from error


def _named(suite: Suite, made: _Row, path: Path) -> InputRow:
    content = msgspec.json.encode([made.problem, made.reference, made.steps, made.extra], order="deterministic")
    digest = hashlib.sha256(content).hexdigest()
    own = f"{made.own}:{digest[:8]}" if made.own else digest[:16]
    return InputRow(
        id=f"{suite}:{own}",
        trace="",
        segmentation=0,
        problem=made.problem,
        steps=made.steps,
        step_ids=tuple(range(len(made.steps))),
        reference=made.reference,
        split=Split.TEST,
        origin=path.name,
        extra={**made.extra, **made.beside},
    )


# -- a reader a suite -------------------------------------------------------------------------------------------------


def _text(value: Any, *names: str) -> str:  # noqa: ANN401 - parsed JSON
    """The first of these fields that is there and holds text."""
    if not isinstance(value, dict):
        raise _Wrong(f"a row is a JSON object, not {type(value).__name__}", "")
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and found.strip():
            return found
        if isinstance(found, int | float) and not isinstance(found, bool):
            return str(found)
    raise _Wrong(f"no text in {' or '.join(names)}; it has {', '.join(value) or 'nothing'}", "")


def _own_id(value: Fields, *names: str) -> str:
    for name in names:
        found = value.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and str(found).strip():
            return str(found)
    return ""


def _gsm8k(value: Any, _: Path) -> Iterator[_Row]:  # noqa: ANN401
    solution = _text(value, "answer")
    gold = _GOLD.findall(solution)
    if not gold:
        raise _Wrong("its answer has no ####", "GSM8K's files end each answer with #### and the number")
    yield _Row(_text(value, "question", "problem"), gold[-1].strip())


def _maths(value: Any, _: Path) -> Iterator[_Row]:  # noqa: ANN401
    extra = {name: value[name] for name in ("subject", "level") if isinstance(value, dict) and name in value}
    problem, answer = _text(value, *_PROBLEM), _text(value, *_ANSWER)
    yield _Row(problem, answer, _own_id(value, "unique_id", "id", "ID"), extra=extra)


def _aime(value: Any, path: Path) -> Iterator[_Row]:  # noqa: ANN401
    for row in _maths(value, path):
        if not re.fullmatch(r"0*\d{1,3}", row.reference or ""):
            raise _Wrong(f"the answer {row.reference!r} is no whole number from 0 to 999", "AIME has no other answers")
        yield _Row(row.problem, str(int(row.reference or "0")), row.own, extra=row.extra)


def _arc(value: Any, path: Path) -> Iterator[_Row]:  # noqa: ANN401
    """One row for each test input of a task; a task without a name of its own has its file's and a hash."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("train"), list)
        or not isinstance(value.get("test"), list)
    ):
        raise _Wrong("a task has lists `train` and `test`", "")
    train = [(grids.grid(_of(pair, "input")), grids.grid(_of(pair, "output"))) for pair in value["train"]]
    task = _own_id(value, "id", "task_id") or path.stem
    if path.suffix == ".jsonl" and not _own_id(value, "id", "task_id"):
        task = f"{task}-{hashlib.sha256(msgspec.json.encode([train, value['test']])).hexdigest()[:8]}"
    beside = {"task": task, "inputs": len(value["test"])}
    for number, pair in enumerate(value["test"]):
        test, output = grids.grid(_of(pair, "input")), grids.grid(_of(pair, "output"))
        extra = {"train": train, "test": test, "output": output}
        yield _Row(grids.asked(train, test), grids.as_text(output), f"{task}/{number}", extra=extra, beside=beside)


def _of(pair: Any, name: str) -> Any:  # noqa: ANN401
    if not isinstance(pair, dict) or name not in pair:
        raise _Wrong(f"a pair of grids has no {name!r}", "each has `input` and `output`; take a file with the outputs")
    return pair[name]


def _humaneval(value: Any, _: Path) -> Iterator[_Row]:  # noqa: ANN401
    prompt, entry, test = _text(value, "prompt"), _text(value, "entry_point"), _text(value, "test")
    if not entry.isidentifier() or f"def {entry}" not in prompt:
        raise _Wrong(f"its prompt defines no function {entry!r}", "")
    if "def check(" not in test:
        raise _Wrong("its test has no function `check`", "")
    solution = value.get("canonical_solution")
    extra = {"entry_point": entry, "test": test}
    yield _Row(prompt, solution if isinstance(solution, str) else None, _own_id(value, "task_id"), extra=extra)


def _programs(value: Any, _: Path) -> Iterator[_Row]:  # noqa: ANN401
    problem, tests = _text(value, *_PROBLEM), []
    for name in ("tests", "official_tests", "public_tests", "private_tests", "generated_tests"):
        tests += _cases(value.get(name), name)
    if not tests:
        raise _Wrong("it has no tests", "")
    seconds = value.get("time_limit")
    extra: dict[str, Any] = {"tests": tests}
    if isinstance(seconds, int | float) and seconds > 0:
        extra["seconds"] = float(seconds)
    yield _Row(problem, None, _own_id(value, "id", "task_id", "name"), extra=extra)


def _cases(found: Any, name: str) -> list[dict[str, str]]:  # noqa: ANN401
    """Tests as a list of {input, output}, or as {input: [...], output: [...]}."""
    if found is None:
        return []
    if isinstance(found, dict):
        given, wanted = found.get("input"), found.get("output")
        if not isinstance(given, list) or not isinstance(wanted, list) or len(given) != len(wanted):
            raise _Wrong(f"{name} has not as many inputs as outputs", "")
        found = [{"input": one, "output": other} for one, other in zip(given, wanted, strict=True)]
    if not isinstance(found, list):
        raise _Wrong(f"{name} is no list", "")
    for number, case in enumerate(found):
        if not isinstance(case, dict) or not all(isinstance(case.get(key), str) for key in ("input", "output")):
            raise _Wrong(f"{name}[{number}] has no texts `input` and `output`", "")
    return [{"input": case["input"], "output": case["output"]} for case in found]


def _processbench(value: Any, path: Path) -> Iterator[_Row]:  # noqa: ANN401
    problem, steps = _text(value, "problem"), _steps(value, "steps")
    label = value.get("label")
    if type(label) is not int or not -1 <= label < len(steps):
        raise _Wrong(
            f"its label {label!r} is no place of its {len(steps)} steps, nor -1", "count from 0; -1 = no error"
        )
    own = _own_id(value, "id")
    subset = own.rpartition("-")[0] or path.stem
    extra = {"label": label, "subset": subset}
    yield _Row(problem, str(label), own, steps, extra)


def _prmbench(value: Any, _: Path) -> Iterator[_Row]:  # noqa: ANN401
    """The changed solution; beside that of the first class, `redundency`, the unchanged one, a class of its own."""
    problem = _text(value, "modified_question", "question", "original_question")
    steps = _steps(value, "modified_process" if "modified_process" in value else "steps")
    wrong, category = value.get("error_steps"), _text(value, "classification", "category")
    if not isinstance(wrong, list) or any(type(step) is not int or step < 1 for step in wrong):
        raise _Wrong(f"error_steps {wrong!r:.60} are no places of its {len(steps)} steps", "count from 1")
    own = _own_id(value, "idx", "id")
    if category == REDUNDANT and "original_process" in value:
        before, problem_before = _steps(value, "original_process"), _text(value, "original_question", "question")
        yield _judged(problem_before, before, (), ORIGINAL, own)
    # some numbers in the published files lie behind the last step; its own evaluation leaves them out
    yield _judged(problem, steps, sorted({step - 1 for step in wrong if step <= len(steps)}), category, own)


def _judged(problem: str, steps: tuple[str, ...], wrong: Sequence[int], category: str, own: str) -> _Row:
    extra = {"wrong": list(wrong), "category": category}
    return _Row(problem, ", ".join(map(str, wrong)), f"{category}_{own}" if own else "", steps, extra)


def _steps(value: Fields, name: str) -> tuple[str, ...]:
    steps = value.get(name)
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise _Wrong(f"{name!r} is no list of texts", "")
    return tuple(steps)


def _none(_: Any, __: Path) -> Iterator[_Row]:  # noqa: ANN401
    raise _Wrong("regression tests come from the workspace", "leave the file out")


_READERS: dict[Suite, Callable[[Any, Path], Iterator[_Row]]] = {
    Suite.GSM8K: _gsm8k,
    Suite.MATH500: _maths,
    Suite.AIME: _aime,
    Suite.ARC: _arc,
    Suite.HUMANEVAL: _humaneval,
    Suite.PROGRAMS: _programs,
    Suite.PROCESSBENCH: _processbench,
    Suite.PRMBENCH: _prmbench,
    Suite.OWN: _maths,
    Suite.REGRESSIONS: _none,
}
_WANTED = {
    Suite.GSM8K: "a line is {question, answer}, the answer ending with #### and the number",
    Suite.MATH500: "a line is {problem, answer}",
    Suite.AIME: "a line is {problem, answer}, the answer a whole number from 0 to 999",
    Suite.ARC: "a task is {train: [{input, output}], test: [{input, output}]}, grids as lists of rows",
    Suite.HUMANEVAL: "a line is {task_id, prompt, entry_point, test}, with `def check(candidate)` in the test",
    Suite.PROGRAMS: "a line is {problem, tests: [{input, output}]}",
    Suite.PROCESSBENCH: "a line is {id, problem, steps, label}",
    Suite.PRMBENCH: "a line is {idx, modified_question, modified_process, error_steps, classification}",
    Suite.OWN: "a line is {problem, answer}; question, prompt and reference are read too",
    Suite.REGRESSIONS: "leave the file out",
}
