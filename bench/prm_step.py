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
import statistics
import sys
import time
from typing import Any

from bench.beside_trl import BATCH, STEPS, THREADS, WARMUP, arguments, drive, peaked


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
    a = arguments(__doc__, "STEPLENS_PEER_TRL")
    if a.role == "drive":
        return drive(a, __file__, "PRM", 0.9, 0.95)
    {"model": make_model, "peer": run_peer, "ours": run_ours}[a.role](a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
