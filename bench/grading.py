"""The graders and the arithmetic check against people: hand-judged pairs, and human ratings of real steps.

    python -m bench.grading pairs [--beside PYTHON]     every disagreement with the judgement, as Markdown
    python -m bench.grading steps [--data FOLDER]       precision of WRONG against ratings of PRM800K

`--beside` names an interpreter that has math-verify, for comparison; each of its pairs may take five seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trainer.reasoning.arithmetic import StepCheck, Verdict, check_step
from trainer.reasoning.grader import Grade, GradeForm, Grader, Pair

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ROOT / "tests" / "unit" / "reasoning" / "graded_pairs.jsonl"
OTHER = r"""
import json, sys
from math_verify import parse, verify

def read(side):
    marked = "$" in side or "boxed" in side or side[:2] in ("\\(", "\\[")
    return parse(side if marked else f"${side}$", parsing_timeout=None)

for line in sys.stdin:
    pair = json.loads(line)
    try:
        found = verify(read(pair["reference"]), read(pair["predicted"]), timeout_seconds=None)
    except Exception:
        found = None
    print(json.dumps(found), flush=True)
"""


class JudgedPair(msgspec.Struct, frozen=True):
    """A line of graded_pairs.jsonl; `equal` is a person's judgement whether the values are equal."""

    predicted: str
    reference: str
    equal: bool
    remark: str


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pairs", "steps"])
    parser.add_argument("--beside", type=Path, help="an interpreter with math-verify")
    parser.add_argument("--data", type=Path, default=os.environ.get("STEPLENS_DATA", ROOT.parent / "shared" / "data"))
    arguments = parser.parse_args()
    if arguments.what == "pairs":
        report_pairs(arguments.beside)
    else:
        report_steps(Path(arguments.data) / "prm800k" / "chosen_path_raw_schema.jsonl")


def judged_pairs() -> list[JudgedPair]:
    """The hand-judged pairs."""
    return [msgspec.convert(json.loads(line), JudgedPair) for line in PAIRS.read_text().splitlines()]


def report_pairs(beside: Path | None) -> None:
    """Agreement of each grader with the judgement, and every disagreement."""
    rows = judged_pairs()
    pairs = [Pair(row.predicted, row.reference) for row in rows]
    graded: dict[str, list[Grade]] = {}
    with Grader() as grader:
        for form in GradeForm:
            begin = time.monotonic()
            graded[form] = list(grader.grade(pairs, form=form))
            print(f"{form}: {len(pairs)} pairs in {time.monotonic() - begin:.1f} s")
    if beside:
        graded["math-verify"] = [Grade(found, "") for found in _math_verify(beside, rows)]
    print("\n| grader | agrees | says equal wrongly | says different wrongly | undecided |\n|---|---|---|---|---|")
    for name, grades in graded.items():
        counts = Counter((row.equal, grade.correct) for row, grade in zip(rows, grades, strict=True))
        undecided = counts[True, None] + counts[False, None]
        agree = counts[True, True] + counts[False, False]
        print(f"| {name} | {agree} of {len(rows)} | {counts[False, True]} | {counts[True, False]} | {undecided} |")
    for name, grades in graded.items():
        print(f"\n### {name}: every disagreement\n")
        print(f"| predicted | reference | judged | {name} | kind |\n|---|---|---|---|---|")
        for row, grade in zip(rows, grades, strict=True):
            if grade.correct is not row.equal:
                said = {True: "equal", False: "different", None: "undecided"}
                cells = [_cell(row.predicted), _cell(row.reference), said[row.equal], said[grade.correct], row.remark]
                print(f"| {' | '.join(cells)} |")


def _cell(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:40]}… ({len(text)} characters)"
    return f"`{json.dumps(short, ensure_ascii=True)[1:-1]}`".replace("|", "\\|").replace("\\\\", "\\")


def _math_verify(python: Path, rows: list[JudgedPair]) -> Iterator[bool | None]:
    """math-verify without its alarms, in a process that is killed when a pair takes over five seconds."""
    process = None
    for row in rows:
        process = process or subprocess.Popen([python, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            guard = threading.Timer(20.0 if row is rows[0] else 5.0, process.kill)
            guard.start()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(_sendable(row)) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            guard.cancel()
        yield json.loads(line) if line else None
        if not line:
            process.wait()
            process = None
    if process:
        process.kill()
        process.wait()


def _sendable(row: JudgedPair) -> dict[str, str]:
    return {k: getattr(row, k).encode("utf-8", "replace").decode() for k in ("predicted", "reference")}


def report_steps(path: Path) -> None:
    """What people rated the steps that hold an equation the check finds wrong, true or neither."""
    counts: Counter[tuple[Verdict, int | None]] = Counter()
    wrong: list[tuple[int | None, str]] = []
    begin, steps = time.monotonic(), 0
    for text, rating in _rated_steps(path):
        check = check_step(text)
        steps += 1
        counts[check.verdict, rating] += 1
        if check.verdict is Verdict.WRONG and rating != -1:
            wrong.append((rating, _first_wrong(text, check)))
    seconds = time.monotonic() - begin
    print(f"{steps} steps in {seconds:.1f} s, {steps / seconds:.0f} a second\n")
    print("| verdict | rated -1 | rated 0 | rated +1 | share rated -1 |\n|---|---|---|---|---|")
    for verdict in Verdict:
        row = [counts[verdict, rating] for rating in (-1, 0, 1)]
        print(f"| {verdict} | {row[0]} | {row[1]} | {row[2]} | {row[0] / sum(row) if sum(row) else float('nan'):.3f} |")
    print("\nFound wrong, but not rated -1:\n\n| rating | equation |\n|---|---|")
    for rating, equation in wrong:
        print(f"| {rating} | {_cell(equation)} |")


def _rated_steps(path: Path) -> Iterator[tuple[str, int | None]]:
    for line in path.read_text().splitlines():
        for step in json.loads(line)["label"]["steps"]:
            for completion in step["completions"] or ():
                if completion["rating"] is not None:
                    yield completion["text"], completion["rating"]


def _first_wrong(text: str, check: StepCheck) -> str:
    return next(text[e.start : e.end] for e in check.equations if e.verdict is Verdict.WRONG)


if __name__ == "__main__":
    main()
