"""One optimiser step of the sft recipe beside TRL 1.16's SFTTrainer, interleaved, on the same rows and updates.

Both start from the same weights (a 5 M Llama), see the same 23 batches of 8 rows in the same order, prompts masked, in
fp32, with AdamW at a constant 3e-4 on all weights, gradients cut at norm 1. Processor seconds and peak memory are of
whole processes of their own; ours include collating, events and the last checkpoint, which TRL's figures leave out.

The peer needs an environment of its own: `--peer-python` (or STEPLENS_PEER_PYTHON) with torch, transformers,
accelerate and datasets, `--trl` (or STEPLENS_PEER_TRL_SFT) a folder with trl 1.16.0, `--peers` the folder of
trl_trainers.py. Without them only our own figures are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench.beside_trl import BATCH, STEPS, THREADS, WARMUP, arguments, drive, peaked


def make_model(a: argparse.Namespace) -> None:
    """The peer's random model, as both sides load it."""
    sys.path.insert(0, str(a.peers))
    import trl_trainers

    trl_trainers.prepare(THREADS)
    trl_trainers.ensure_model(str(a.folder / "model"))
    print("{}")


def run_peer(a: argparse.Namespace) -> None:
    """TRL's script as it is, with one ear on its collator: which rows each update saw, in order."""
    sys.path.insert(0, str(a.peers))
    import trl_trainers

    trl_trainers.prepare(THREADS, a.trl)
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    seen: list[list[list[int]]] = []
    collate = DataCollatorForLanguageModeling.torch_call

    def listening(self: DataCollatorForLanguageModeling, examples: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append([list(example["input_ids"]) for example in examples])
        return collate(self, examples)

    DataCollatorForLanguageModeling.torch_call = listening
    command = ["sft", "--steps", str(STEPS), "--seed", str(a.seed), "--threads", str(THREADS), "--warmup", str(WARMUP)]
    command += ["--model", str(a.folder / "model"), "--trl", a.trl]
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
            }
        )
    )


def rows_of(a: argparse.Namespace) -> list[tuple[str, str]]:
    """(prompt, response) of the rows of each update in the peer's order; without a peer's run, as they come."""
    sys.path.insert(0, str(a.peers))
    from trl_trainers import make_rows

    good = [row for row in make_rows(max(STEPS * BATCH, 64) * 2, a.seed + 100) if row["first_error"] < 0]
    rows = [(r["prompt"], "\n".join(r["steps"]) + f"\nThe answer is {r['answer']}.") for r in good]
    noted = a.folder / f"order-{a.seed}.json"
    if not noted.is_file():
        return (rows * -(-STEPS * BATCH // len(rows)))[: STEPS * BATCH]
    from transformers import AutoTokenizer

    from trainer.prompts import Prompts, PromptSettings

    prompts = Prompts(AutoTokenizer.from_pretrained(a.folder / "model"), PromptSettings())
    by_ids = {
        (*prompts.ids_of(prompt), *prompts.completion_ids(response)): (prompt, response) for prompt, response in rows
    }
    return [by_ids[tuple(ids)] for batch in json.loads(noted.read_text()) for ids in batch]


def run_ours(a: argparse.Namespace) -> None:
    """The sft recipe on a run folder, its plan set to the peer's order of rows."""
    from trainer.__main__ import set_environment
    from trainer.contract.records import InputRow
    from trainer.contract.run_folder import RunFolder
    from trainer.contract.spec import RunSpec, build, parameters

    settings = {"model": str(a.folder / "model"), "max_length": 256, "batch_size": BATCH, "max_steps": STEPS}
    settings |= {"rate": 3e-4, "warmup": 0, "decay": 0, "seed": a.seed, "threads": THREADS}
    settings |= {"eval_every": 1000, "checkpoint_every": 1000}
    folder = RunFolder(a.folder / f"run-{a.seed}")
    spec = RunSpec(run="bench", name="bench", recipe="sft", parameters=parameters(build("sft", settings)))
    set_environment(spec)
    folder.create(
        spec,
        (
            InputRow(
                id=str(number),
                trace=str(number),
                segmentation=1,
                problem=prompt,
                steps=tuple(response.split("\n")),
                step_ids=tuple(range(len(response.split("\n")))),
                response=response,
            )
            for number, (prompt, response) in enumerate(rows_of(a))
        ),
    )
    print(json.dumps(timed(folder.path)))


def timed(path: Path) -> dict[str, float]:
    """Run the recipe; processor and wall seconds of the middle step, peak memory, first and last loss."""
    import numpy as np

    from trainer.contract.run_folder import RunFolder
    from trainer.recipes import sft
    from trainer.runtime import loop
    from trainer.runtime.worker import run_attempt

    wall: list[float] = []
    cpu: list[float] = []
    advance = loop.Training._advance

    def clocked(self: loop.Training[Any]) -> None:
        began, burnt = time.perf_counter(), time.process_time()
        advance(self)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - burnt)

    loop.Training._advance = clocked
    loop.plan_epoch = lambda *_: [np.arange(i, i + BATCH) for i in range(0, STEPS * BATCH, BATCH)]
    folder = RunFolder(path)
    if run_attempt(path, lambda _: sft.run):
        raise SystemExit(folder.events.read_text()[-3000:])
    losses = [
        event["values"]["loss"]
        for event in map(json.loads, folder.events.read_text().splitlines())
        if event["kind"] == "metrics" and event["split"] == "train"
    ]
    result = {"cpu": statistics.median(cpu[WARMUP:]), "wall": statistics.median(wall[WARMUP:]), "rss": peaked()}
    return result | {"first": losses[0], "last": losses[-1]}


def main() -> int:
    """Play the role."""
    a = arguments(__doc__, "STEPLENS_PEER_TRL_SFT")
    if a.role == "drive":
        return drive(a, __file__, "SFT", 0.95, 0.95)
    {"model": make_model, "peer": run_peer, "ours": run_ours}[a.role](a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
