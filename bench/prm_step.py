"""One optimiser step of the PRM recipe beside TRL 1.13's PRMTrainer, interleaved, on the same rows and updates.

Both start from the same weights (a 5 M Llama with its head), see the same 23 batches of 8 rows in the same order, in
fp32, with AdamW at a constant 3e-4 on all weights, gradients cut at norm 1. Processor seconds and peak memory are of
whole processes of their own; ours include collating, events and the last checkpoint, which TRL's figures leave out.

The peer needs an environment of its own: `--peer-python` (or STEPLENS_PEER_PYTHON) with torch, transformers,
accelerate and datasets, `--trl` (or STEPLENS_PEER_TRL) a folder with trl 1.13.0, `--peers` the folder of
trl_trainers.py. Without them only our own figures are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEPS, BATCH, WARMUP, THREADS = 23, 8, 3, 2


def arguments() -> argparse.Namespace:
    """The command line; --role is for the children."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=os.environ.get("STEPLENS_PEER_PYTHON"))
    parser.add_argument("--trl", default=os.environ.get("STEPLENS_PEER_TRL"))
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--role", choices=["drive", "model", "peer", "ours"], default="drive", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def drive(a: argparse.Namespace) -> int:
    """Both sides, seed by seed; the figures as JSON lines."""
    have_peer = bool(a.peer_python and a.trl and (a.peers / "trl_trainers.py").is_file())
    if not (a.peers / "trl_trainers.py").is_file():
        print(f"no trl_trainers.py in {a.peers}: the work itself comes from there", file=sys.stderr)
        return 1
    if not have_peer:
        print("no peer: give --peer-python and --trl to measure TRL 1.13 beside ours", file=sys.stderr)
    ours, peer = [], []
    with tempfile.TemporaryDirectory(prefix="steplens-prm-step-") as name:
        a.folder = Path(name)
        child(a, sys.executable, "model", 0)
        for seed in range(a.seeds):
            if have_peer:
                peer.append(child(a, a.peer_python, "peer", seed))
            ours.append(child(a, sys.executable, "ours", seed))
            print(f"seed {seed}: ours {ours[-1]}  peer {peer[-1] if peer else None}", file=sys.stderr, flush=True)
    report(ours, peer)
    return 0


def child(a: argparse.Namespace, python: str, role: str, seed: int) -> dict[str, Any]:
    """One role in a process of its own; its last line is its result."""
    command = [python, str(Path(__file__).resolve()), "--role", role, "--folder", str(a.folder), "--seed", str(seed)]
    command += ["--peers", str(a.peers), *(["--trl", a.trl] if a.trl else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # for both: spinning threads measure the neighbours, not the trainer
    done = subprocess.run(command, env=environment, cwd=a.folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> None:
    """Medians over the seeds, and ours as a share of TRL's."""

    def middle(runs: list[dict[str, Any]], key: str) -> float:
        return statistics.median(run[key] for run in runs)

    def line(what: str, value: float, unit: str, must: str = "", met: bool | None = None) -> None:
        print(json.dumps({"what": what, "value": value, "unit": unit, "must": must, "met": met}), flush=True)

    for key, what, unit in (("cpu", "CPU a step", "s"), ("wall", "wall a step", "s"), ("rss", "peak memory", "MB")):
        line(f"PRM, {what}, ours", middle(ours, key), unit)
        if peer:
            line(f"PRM, {what}, TRL 1.13", middle(peer, key), unit)
            ratio = middle(ours, key) / middle(peer, key)
            worst = max(o[key] / p[key] for o, p in zip(ours, peer, strict=True))
            if key != "wall":
                most = {"cpu": 0.9, "rss": 0.95}[key]
                name = f"PRM, {what}, ours / TRL (median of {len(ours)} seeds)"
                line(name, ratio, "x", f"at most {most}", ratio <= most)
                line(f"PRM, {what}, ours / TRL, worst seed", worst, "x")
    if peer:
        apart = max(abs(o["first"] - p["first"]) for o, p in zip(ours, peer, strict=True))
        line("PRM, loss of step 1, largest difference to TRL", apart, "nats", "at most 0.001", apart <= 0.001)
        apart = max(abs(o["last"] - p["last"]) for o, p in zip(ours, peer, strict=True))
        line(f"PRM, loss of step {STEPS}, largest difference to TRL", apart, "nats", "at most 0.01", apart <= 0.01)


def peaked() -> float:
    """This process's largest resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_model(a: argparse.Namespace) -> None:
    """The peer's random body with a random head, as both sides load it."""
    sys.path.insert(0, str(a.peers))
    import trl_trainers

    trl_trainers.prepare(THREADS)
    trl_trainers.ensure_model(str(a.folder / "body"))
    from trainer.models.load import load_for_training
    from trainer.models.prm import PrmSettings

    loaded = load_for_training(str(a.folder / "body"), PrmSettings(2), (), seed=0, with_language_head=False)
    loaded.prm.save(a.folder / "model")
    loaded.tokenizer.save_pretrained(str(a.folder / "model"))
    print("{}")


def run_peer(a: argparse.Namespace) -> None:
    """TRL's script as it is, with one ear on its collator: which rows each update saw, in order."""
    sys.path.insert(0, str(a.peers))
    import trl_trainers

    trl_trainers.prepare(THREADS, a.trl)
    from transformers import DataCollatorForTokenClassification

    seen: list[list[list[int]]] = []
    collate = DataCollatorForTokenClassification.torch_call

    def listening(self: DataCollatorForTokenClassification, features: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append([list(feature["input_ids"]) for feature in features])
        return collate(self, features)

    DataCollatorForTokenClassification.torch_call = listening
    command = ["prm", "--steps", str(STEPS), "--seed", str(a.seed), "--threads", str(THREADS), "--warmup", str(WARMUP)]
    command += ["--model", str(a.folder / "model"), "--trl", a.trl, "--dump", str(a.folder / f"rows-{a.seed}.jsonl")]
    sys.argv = ["trl_trainers.py", *command]
    lines: list[str] = []
    trl_trainers.print = lines.append
    trl_trainers.main()
    (a.folder / f"order-{a.seed}.json").write_text(json.dumps(seen[:STEPS]))
    said = json.loads(lines[-1])
    print(
        json.dumps(
            {
                "cpu": said["step_cpu_median_s"],
                "wall": said["step_median_s"],
                "rss": said["rss_peak_mb"],
                "first": said["loss_first"],
                "last": said["loss_last"],
                "padded": said["tok_per_step_padded"],
            }
        )
    )


def rows_in_order(a: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of each update in the peer's order; without a peer's run, as they come."""
    noted = a.folder / f"order-{a.seed}.json"
    if not noted.is_file():
        return rows[: STEPS * BATCH]
    from transformers import AutoTokenizer

    from trainer.placement import StepEncoder

    encoder = StepEncoder(AutoTokenizer.from_pretrained(a.folder / "model"), "\n", 256)
    by_ids = {tuple(encoder.encode(row["prompt"], row["steps"]).ids.tolist()): row for row in rows}
    return [by_ids[tuple(ids)] for batch in json.loads(noted.read_text()) for ids in batch]


def run_ours(a: argparse.Namespace) -> None:
    """The PRM recipe on a run folder, its plan set to the peer's order of rows."""
    sys.path.insert(0, str(a.peers))
    from trl_trainers import make_rows

    from trainer.__main__ import set_environment
    from trainer.contract.records import InputRow, Votes
    from trainer.contract.run_folder import RunFolder
    from trainer.contract.spec import RunSpec, build, parameters

    settings = {"model": str(a.folder / "model"), "after_error": "keep labels", "max_length": 256, "batch_size": BATCH}
    settings |= {"max_steps": STEPS, "head_rate": 3e-4, "body_rate": 3e-4, "warmup": 0, "decay": 0, "seed": a.seed}
    settings |= {"eval_every": 1000, "checkpoint_every": 1000, "threads": THREADS}
    folder = RunFolder(a.folder / f"run-{a.seed}")
    spec = RunSpec(run="bench", name="bench", recipe="prm", parameters=parameters(build("prm", settings)))
    set_environment(spec)
    rows = rows_in_order(a, make_rows(max(STEPS * BATCH, 64) * 2, a.seed + 100))
    folder.create(
        spec,
        (
            InputRow(
                id=str(number),
                trace=str(number),
                segmentation=1,
                problem=row["prompt"],
                steps=tuple(row["steps"]),
                step_ids=tuple(range(len(row["steps"]))),
                votes=tuple(Votes(positive=float(label), negative=float(not label)) for label in row["labels"]),
            )
            for number, row in enumerate(rows)
        ),
    )
    import numpy as np

    from trainer.recipes import prm
    from trainer.runtime import loop
    from trainer.runtime.worker import run_attempt

    wall: list[float] = []
    cpu: list[float] = []
    advance = loop.Training._advance

    def timed(self: loop.Training) -> None:
        began, burnt = time.perf_counter(), time.process_time()
        advance(self)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - burnt)

    loop.Training._advance = timed
    loop.plan_epoch = lambda *_: [np.arange(i, i + BATCH) for i in range(0, STEPS * BATCH, BATCH)]
    if run_attempt(folder.path, lambda _: prm.run):
        raise SystemExit(folder.events.read_text()[-3000:])
    losses = [
        event["values"]["loss"]
        for event in map(json.loads, folder.events.read_text().splitlines())
        if event["kind"] == "metrics" and event["split"] == "train"
    ]
    result = {"cpu": statistics.median(cpu[WARMUP:]), "wall": statistics.median(wall[WARMUP:]), "rss": peaked()}
    print(json.dumps(result | {"first": losses[0], "last": losses[-1]}))


def main() -> int:
    """Play the role."""
    a = arguments()
    if a.role == "drive":
        return drive(a)
    {"model": make_model, "peer": run_peer, "ours": run_ours}[a.role](a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
