"""The tiny PRM on arithmetic stories: validation AUC over time, beside the causal baselines, through the real worker.

    python -m bench.tiny_prm [--seed 0] [--set body_rate=0.002]

Time counts from the start of the worker process; processor time is the worker's own, user and system.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainer.contract import events
from trainer.contract.run_folder import RunFolder, read_events
from trainer.contract.spec import RunSpec, build, parameters
from trainer.reasoning.stories import STORY_COUNT, STORY_PRESET, STORY_SEED, make_stories, story_row

MUST_AUC, MUST_SECONDS, MUST_BASELINE = 0.95, 180, 0.65


def main() -> int:
    """Train once and print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (the stories stay the same)")
    parser.add_argument("--stories", type=int, default=STORY_COUNT, help="how many stories")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another parameter")
    given = parser.parse_args()
    changes = dict(pair.split("=", 1) for pair in given.set)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        folder = RunFolder(Path(scratch) / "run")
        settings = parameters(build("prm", {**STORY_PRESET, "seed": given.seed, **changes}))
        rows = (story_row(story, n) for n, story in enumerate(make_stories(given.stories, seed=STORY_SEED)))
        folder.create(RunSpec(run="bench", name="bench", recipe="prm", parameters=settings), rows)
        began = time.time()
        ok = train(folder)
        if ok:
            report(folder, began)
        else:
            print(folder.tail_of_log(), file=sys.stderr)
    return 0 if ok else 1


def train(folder: RunFolder) -> bool:
    """Run the worker to its end."""
    with folder.log.open("ab") as log:
        command = [sys.executable, "-m", "trainer", str(folder.path)]
        worker = subprocess.run(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False)
    return worker.returncode == 0


def report(folder: RunFolder, began: float) -> None:
    """The curve and the figures of the last validation."""
    told = read_events(folder.events)[0]
    curve = [event for event in told if isinstance(event, events.Metrics) and event.split == "validation"]
    trained = [event for event in told if isinstance(event, events.Metrics) and event.split == "train"]
    for event in curve:
        figure(f"validation AUC after {event.step} steps, {event.at - began:.0f} s", event.values["auc"], "")
    reached = next((event.at - began for event in curve if event.values["auc"] >= MUST_AUC), None)
    best = max(event.values["auc"] for event in curve)
    figure("best validation AUC", best, "", f">= {MUST_AUC}", best >= MUST_AUC)
    in_time = reached is not None and reached <= MUST_SECONDS
    figure(f"time to validation AUC {MUST_AUC}", reached or "not reached", "s", f"<= {MUST_SECONDS}", in_time)
    last = curve[-1].values
    for name in ("baseline_step_index", "baseline_tfidf"):
        value = last[f"{name}_auc"]
        figure(
            f"{name.removeprefix('baseline_')}: validation AUC", value, "", f"< {MUST_BASELINE}", value < MUST_BASELINE
        )
    figure("hint last rated: validation AUC (not causal)", last["hint_last_rated_auc"], "")
    for name in ("first_error_accuracy", "first_error_f1", "ece"):
        figure(f"validation {name.replace('_', ' ')}", last[name], "")
    figure("rated steps in validation", int(last["n_steps"]), "")
    tokens = sum(event.values["tokens_per_second"] * event.values["step_time"] for event in trained)
    figure("training speed", tokens / sum(event.values["step_time"] for event in trained), "tokens/s")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figure("processor time of the whole run", used.ru_utime + used.ru_stime, "s")
    figure("peak memory of the worker", used.ru_maxrss / 1024, "MB")


def figure(what: str, value: float | str, unit: str, must: str = "", met: bool | None = None) -> None:
    """One JSON line."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
