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
    share = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = int(spec.parameters.get("threads", 0)) or max(1, len(os.sched_getaffinity(0)) // share)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Threads that wait by spinning burn whole cores, and starve each other, where other programs run too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if spec.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif spec.device.startswith("cuda:") and share == 1:  # several processes take a GPU each
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", spec.device.partition(":")[2])
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run: `RUN_DIR`, `serve MODEL`, or `serve-policy MODEL`."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["serve"]:
        return _serve(given[1:])
    if given[:1] == ["serve-policy"]:
        return _serve_policy(given[1:])
    parser = argparse.ArgumentParser(
        prog="steplens-trainer",
        description="Run one attempt of a run.",
        epilog="steplens-trainer serve MODEL answers step scores over HTTP on this machine; "
        "steplens-trainer serve-policy MODEL lets a policy write for OpenAI-compatible clients.",
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="the run folder, with spec.json and input.jsonl")
    path = parser.parse_args(given).run.resolve()
    try:
        set_environment(RunFolder(path).read_spec())
    except RunFolderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run_attempt(path, recipe_of)


def _serve(given: list[str]) -> int:
    from trainer.serve import serve
    from trainer.serve_frame import ServeError

    parser = argparse.ArgumentParser(prog="steplens-trainer serve", description="Answer step scores over HTTP.")
    parser.add_argument("model", type=Path, metavar="MODEL", help="a folder with a PRM")
    parser.add_argument("--port", type=int, default=8377, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    args = parser.parse_args(given)
    try:
        return serve(args.model, port=args.port, device=args.device)
    except ServeError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _serve_policy(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="steplens-trainer serve-policy", description="Let a policy write for OpenAI-compatible clients."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a folder with a policy")
    parser.add_argument("--port", type=int, default=8378, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--key-env", default="", metavar="NAME", help="environment variable with the key to ask for")
    args = parser.parse_args(given)
    if args.key_env and not os.environ.get(args.key_env):
        sys.stderr.write(f"there is no environment variable {args.key_env}; set it to the key\n")
        return 2
    from trainer.serve_frame import ServeError
    from trainer.serve_policy import serve

    try:
        return serve(args.model, port=args.port, device=args.device, key=os.environ.get(args.key_env, ""))
    except ServeError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is on the disk; taking torch apart would hold the device for seconds more
