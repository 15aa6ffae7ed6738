"""What the measurements beside TRL share: children in processes of their own, interleaved, and the lines they print."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEPS, BATCH, WARMUP, THREADS = 23, 8, 3, 2


def arguments(text: str | None, trl_variable: str) -> argparse.Namespace:
    """The command line; --role is for the children."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=os.environ.get("STEPLENS_PEER_PYTHON"))
    parser.add_argument("--trl", default=os.environ.get(trl_variable))
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--role", choices=["drive", "model", "peer", "other", "ours"], default="drive", help=argparse.SUPPRESS
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


Told = Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]


def drive(
    a: argparse.Namespace,
    script: str,
    what: str,
    most_cpu: float,
    most_memory: float,
    *,
    told: Told | None = None,
    other: str = "",
) -> int:
    """Both sides, seed by seed; the figures as JSON lines. `told` prints other figures where losses cannot be equal.

    `other` says what a second form of the peer is, which plays the role of that name.
    """
    if not (a.peers / "trl_trainers.py").is_file():
        print(f"no trl_trainers.py in {a.peers}: the work itself comes from there", file=sys.stderr)
        return 1
    have_peer = bool(a.peer_python and a.trl)
    if not have_peer:
        print("no peer: give --peer-python and --trl to measure TRL beside ours", file=sys.stderr)
    ours, peer, others = [], [], []
    with tempfile.TemporaryDirectory(prefix="steplens-beside-trl-") as name:
        a.folder = Path(name)
        child(a, script, sys.executable, "model", 0)
        for seed in range(a.seeds):
            if have_peer:
                peer.append(child(a, script, a.peer_python, "peer", seed))
            if have_peer and other:
                others.append(child(a, script, a.peer_python, "other", seed))
            ours.append(child(a, script, sys.executable, "ours", seed))
            print(f"seed {seed}: ours {ours[-1]}  peer {peer[-1] if peer else None}", file=sys.stderr, flush=True)
    kept = report(what, ours, peer, {"cpu": most_cpu, "rss": most_memory})
    if others:
        kept = report(f"{what} {other}", ours, others, {"cpu": most_cpu, "rss": most_memory}) and kept
    if told is not None:
        told(ours, peer)
    elif peer:
        kept = report_losses(what, ours, peer) and kept
    return 0 if kept else 1


def child(a: argparse.Namespace, script: str, python: str, role: str, seed: int) -> dict[str, Any]:
    """One role in a process of its own; its last line is its result."""
    # -P: the programs here are no modules of the standard library, whatever their names.
    command = [python, "-P", str(Path(script).resolve()), "--role", role, "--folder", str(a.folder)]
    command += ["--seed", str(seed), "--peers", str(a.peers), *(["--trl", a.trl] if a.trl else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # for both: spinning threads measure the neighbours, not the trainer
    done = subprocess.run(command, env=environment, cwd=a.folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def report(what: str, ours: list[dict[str, Any]], peer: list[dict[str, Any]], most: dict[str, float]) -> bool:
    """Medians over the seeds, ours as a share of TRL's; whether every limit was kept."""
    kept = True
    for key, name, unit in (("cpu", "CPU a step", "s"), ("wall", "wall a step", "s"), ("rss", "peak memory", "MB")):
        line(f"{what}, {name}, ours", middle(ours, key), unit)
        if not peer:
            continue
        line(f"{what}, {name}, TRL", middle(peer, key), unit)
        if key not in most:
            continue
        ratio = middle(ours, key) / middle(peer, key)
        worst = max(o[key] / p[key] for o, p in zip(ours, peer, strict=True))
        met = ratio <= most[key]
        kept = kept and met
        line(f"{what}, {name}, ours / TRL (median of {len(ours)} seeds)", ratio, "x", f"at most {most[key]}", met)
        line(f"{what}, {name}, ours / TRL, worst seed", worst, "x")
    return kept


def report_losses(what: str, ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> bool:
    """The same rows, weights and updates: the losses are the same but for rounding."""
    kept = True
    for key, step, limit in (("first", 1, 1e-3), ("last", STEPS, 1e-2)):
        apart = max(abs(o[key] - p[key]) for o, p in zip(ours, peer, strict=True))
        kept = kept and apart <= limit
        line(
            f"{what}, loss of step {step}, largest difference to TRL", apart, "nats", f"at most {limit}", apart <= limit
        )
    low, high = min(p["last"] for p in peer), max(p["last"] for p in peer)
    values = ", ".join(f"{o['last']:.4f}" for o in ours)
    inside = all(low - 1e-3 <= o["last"] <= high + 1e-3 for o in ours)
    print(
        json.dumps(
            {
                "what": f"{what}, last losses",
                "value": values,
                "unit": "nats",
                "must": f"within TRL's {low:.4f} to {high:.4f}",
                "met": inside,
            }
        ),
        flush=True,
    )
    return kept and inside


def middle(runs: list[dict[str, Any]], key: str) -> float:
    """The median of a figure over the seeds."""
    return statistics.median(run[key] for run in runs)


def line(what: str, value: float, unit: str, must: str = "", met: bool | None = None) -> None:
    """One figure."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)


def peaked() -> float:
    """This process's largest resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
