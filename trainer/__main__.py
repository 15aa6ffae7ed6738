"""python -m trainer RUN_DIR: run one attempt of the run in that folder (also the command steplens-trainer)."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.spec import RECIPES, RunSpec
from trainer.runtime.worker import RunFailed, Worker, run_attempt


def recipe_of(name: str) -> Callable[[Worker], dict[str, float]]:
    """The recipe's program; only the one that runs is imported. Raises RunFailed."""
    if name not in RECIPES:
        raise RunFailed(f"this worker has no recipe {name!r}; update it, or choose one of {', '.join(RECIPES)}")
    run: Callable[[Worker], dict[str, float]] = importlib.import_module(f"trainer.recipes.{name}").run
    return run


def set_environment(spec: RunSpec) -> None:
    """Threads, device and quiet libraries, before torch is imported."""
    threads = int(spec.parameters.get("threads", 0)) or len(os.sched_getaffinity(0))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Threads that wait by spinning burn whole cores, and starve each other, where other programs run too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if spec.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif spec.device.startswith("cuda:"):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", spec.device.partition(":")[2])
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="steplens-trainer", description="Run one attempt of a run.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="the run folder, with spec.json and input.jsonl")
    path = parser.parse_args(argv).run.resolve()
    try:
        set_environment(RunFolder(path).read_spec())
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run_attempt(path, recipe_of)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is on the disk; taking torch apart would hold the device for seconds more
