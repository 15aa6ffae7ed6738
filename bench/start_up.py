"""How long until the first trace can be read, from process start, beside a bare PySide6 window and a bare SQLAlchemy.

    python -m bench.start_up [--traces 10000] [--repetitions 7]

All five are timed in turn, several times, each from just before its process is started to a monotonic time that the
process itself reports: the window at its first paint event, SQLAlchemy after `import sqlalchemy.orm`, the app in the
paint event in which every visible row shows rendered maths. The app opens a workspace that `steplens import` filled
with PRM800K records full of maths and that no window has ever opened (each time a fresh copy, by a person who has used
the program before), one that it opened before, and one whose cache of formulas was deleted by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARGIN_MS = 250
HEAVY = ("torch", "transformers", "accelerate", "pyqtgraph", "ziamath", "alembic", "sympy", "sklearn")
BARE_WINDOW = """
import sys, time
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow
class Window(QMainWindow):
    def paintEvent(self, event):
        print('{"at": %r, "cpu": %r}' % (time.monotonic(), time.process_time()), flush=True)
        QTimer.singleShot(0, QApplication.quit)
app = QApplication(sys.argv)
window = Window()
window.resize(1240, 820)
window.show()
app.exec()
"""
BARE_ORM = """
import time, sqlalchemy.orm
print('{"at": %r, "cpu": %r}' % (time.monotonic(), time.process_time()), flush=True)
"""


def main() -> int:
    """Print the figures as JSON lines; exit code 1 when one is worse than it must be."""
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="steplens-start-") as scratch:
        home = Path(scratch)
        environment = _environment(home)
        imported = home / "imported"
        seconds = fill(imported, args.traces, environment)
        _copied(imported, home / "workspace")
        for command in (_app(home / "workspace"), _bare(BARE_WINDOW), _bare(BARE_ORM)):  # settings and byte code
            _timed(command, environment)
        times, modules = _measure(args.repetitions, imported, home / "workspace", environment)
    _say("start: `steplens import` of the workspace, with its first formulas drawn", seconds, "s")
    return _report(times, modules)


def _measure(
    repetitions: int, imported: Path, folder: Path, environment: dict[str, str]
) -> tuple[dict[str, list[float]], set[str]]:
    commands = {
        "bare window": _bare(BARE_WINDOW),
        "bare orm": _bare(BARE_ORM),
        "first": _app(folder),
        "again": _app(folder),
        "cold": _app(folder),
    }
    times: dict[str, list[float]] = {f"{name}{unit}": [] for name in commands for unit in ("", " cpu")}
    modules: set[str] = set()
    for _ in range(repetitions):
        for name, command in commands.items():
            if name == "first":
                _copied(imported, folder)
            elif name == "cold":
                _empty_cache(folder)
            told = _timed(command, environment)
            times[name].append(told["ms"])
            times[f"{name} cpu"].append(told["cpu"] * 1000)
            modules |= set(told.get("modules", ()))
    return times, modules


def _report(times: dict[str, list[float]], modules: set[str]) -> int:
    middle = {name: statistics.median(values) for name, values in times.items()}
    allowed = middle["bare window"] + middle["bare orm"] + MARGIN_MS
    offenders = sorted(name for name in HEAVY if name in modules)
    _say("start: bare PySide6 window painted", middle["bare window"], "ms")
    _say("start: bare import of sqlalchemy.orm", middle["bare orm"], "ms")
    _say("start: first trace readable, first opening after an import", middle["first"], "ms", allowed)
    _say("start: first trace readable, opened again", middle["again"], "ms", allowed)
    _say("start: first trace readable, formula cache deleted by hand", middle["cold"], "ms", allowed)
    bare = middle["bare window cpu"] + middle["bare orm cpu"]
    _say("start: processor time, bare window + bare import", bare, "ms")
    _say("start: processor time of the window's process until readable", middle["first cpu"], "ms")
    _say("start: heavy packages imported by then", len(offenders), " ".join(["packages", *offenders]), 0)
    for name, values in times.items():
        print(json.dumps({"all": name, "ms": [round(value) for value in values]}), file=sys.stderr)
    slowest = max(middle["first"], middle["again"], middle["cold"])
    return int(slowest > allowed or bool(offenders))


def _bare(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def _timed(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise RuntimeError(f"{command} ended with {done.returncode} and said nothing: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(lines[-1])
    told["ms"] = (told["at"] - began) * 1000
    return told


def _environment(home: Path) -> dict[str, str]:
    own = {name: str(home / name.lower()) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")}
    shown = {} if os.environ.get("DISPLAY") else {"QT_QPA_PLATFORM": "offscreen"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        **own,
        **shown,
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
    }


def _app(folder: Path) -> list[str]:
    return [sys.executable, "-m", "studio", "--workspace", str(folder), "--report-first-paint"]


def _copied(imported: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(imported, folder)


def _empty_cache(folder: Path) -> None:
    for path in (folder / "cache").glob("maths*"):
        path.unlink()


def _say(what: str, value: float, unit: str, must: float | None = None) -> None:
    print(
        json.dumps(
            {"what": what, "value": round(value, 1), "unit": unit, "must": None if must is None else round(must, 1)}
        )
    )


# -- a workspace to start on ------------------------------------------------------------------------------------------


def fill(folder: Path, count: int, environment: dict[str, str]) -> float:
    """Let `steplens import` fill a workspace with `count` different traces of twelve steps; the seconds it took."""
    rows = folder.with_suffix(".jsonl")
    with rows.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record(*each)) + "\n" for each in problems(count))
    command = [sys.executable, "-m", "studio", "import", str(rows), "--workspace", str(folder), "--progress", "none"]
    began = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=600)
    return time.monotonic() - began


def record(prompt: str, steps: list[str], answer: str) -> dict[str, Any]:
    """A PRM800K record of the second phase in which every step was rated positive."""
    completions = [{"completions": [{"text": text, "rating": 1, "flagged": None}]} for text in steps]
    return {
        "labeler": "e90a38f3-3135-4465-87af-3e6322e3d772",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": 9,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": prompt,
            "ground_truth_answer": answer,
            "pre_generated_steps": steps,
            "pre_generated_answer": answer,
        },
        "label": {
            "steps": [each | {"human_completion": None, "chosen_completion": 0} for each in completions],
            "total_time": 100_000,
            "finish_reason": "solution",
        },
    }


def problems(count: int) -> Iterator[tuple[str, list[str], str]]:
    """Problems, their steps and their answers, each with formulas of its own."""
    draw = random.Random(7)
    for _ in range(count):
        a, b, c = (draw.randint(2, 97) for _ in range(3))
        steps = [f"The roots of ${a}x^2 - {b}x + {c} = 0$ are $r$ and $s$, so $r + s = \\frac{{{b}}}{{{a}}}$."]
        steps += [
            f"Step {n}: $\\sum_{{k=1}}^{{{n}}} k^2 = \\frac{{{n}({n}+1)(2\\cdot{n}+1)}}{{6}}$ and "
            f"$\\sqrt{{{a * n}}} \\le {b}^{{{n}}}$, hence $r^{{{n}}} + s^{{{n}}} = \\frac{{{b + n}}}{{{a}^{{{n}}}}}$."
            for n in range(2, 12)
        ]
        answer = f"\\frac{{{b}}}{{{c}}}"
        steps.append(f"Therefore the answer is $\\boxed{{{answer}}}$.\n\n# Answer\n\n{answer}")
        prompt = f"Let $r$ and $s$ be the roots of ${a}x^2 - {b}x + {c} = 0$."
        yield f"{prompt} Find $\\frac{{1}}{{r}} + \\frac{{1}}{{s}}$.", steps, answer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
