"""One update of the rl recipe beside TRL 1.16's GRPOTrainer, interleaved: 4 prompts x 4 traces x 64 tokens, KL 0.04.

Both start from the same weights (a 5 M Llama), in fp32, with AdamW at a constant 3e-4 on all weights, gradients cut at
norm 1, a reference policy kept, one optimiser step a batch of rollouts, two rule rewards weighted 0.3 and 0.7. The
draws differ, so losses are compared by their size. Ours gives every token a credit of its own, which TRL's scalar
rewards do not have: beside them stands a subclass of TRL's with one advantage a token. Ours also writes events,
rollouts and the last checkpoint, which TRL's figures leave out. The peer: see bench/sft_step.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.beside_trl import THREADS, WARMUP, arguments, drive, line, peaked
from bench.sft_step import make_model

UPDATES, PROMPTS, TRACES, NEW = 9, 4, 4, 64
REWARD = '''"""The two rule rewards of the peer's script, weighted 0.3 and 0.7."""

import re


def both(trace):
    found = re.findall(r"(-?\\d+) ([+-]) (\\d+) = (-?\\d+)", trace.text)
    held = sum((int(x) + int(y) if o == "+" else int(x) - int(y)) == int(z) for x, o, y, z in found)
    process = held / max(1, len(found)) + 0.01 * len(set(trace.text))
    return 0.3 * process + 0.7 * (f"answer is {trace.reference}." in trace.text)
'''


def run_peer(a: argparse.Namespace, *, by_token: bool = False) -> None:
    """TRL's script as it is; `by_token`: its trainer replaced by a subclass with (B, T) advantages."""
    sys.path.insert(0, str(a.peers))
    import trl_trainers

    trl_trainers.prepare(THREADS, a.trl)
    if by_token:
        credit_tokens()
    command = ["grpo", "--steps", str(UPDATES), "--seed", str(a.seed), "--threads", str(THREADS)]
    command += ["--warmup", str(WARMUP), "--model", str(a.folder / "model"), "--trl", a.trl]
    sys.argv = ["trl_trainers.py", *command]
    lines: list[str] = []
    trl_trainers.print = lines.append
    trl_trainers.main()
    said = json.loads(lines[-1])
    names = {"cpu": "step_cpu_median_s", "wall": "step_median_s", "rss": "rss_peak_mb", "kl": "kl"}
    result = {name: said[key] for name, key in names.items()}
    print(json.dumps(result | {"first": said["loss_first"], "last": said["loss_last"]}))


def credit_tokens() -> None:
    """Each line of a completion gets a credit of its own: 0.3 x its rule reward over the mean of all lines."""
    import re

    import torch
    import trl

    class Stepwise(trl.GRPOTrainer):  # type: ignore[misc]
        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            made: dict[str, Any] = super()._generate_and_score_completions(inputs)
            ids = made["completion_ids"]
            breaks = torch.zeros_like(ids, dtype=torch.bool)
            credit = torch.zeros(ids.shape, dtype=made["advantages"].dtype)
            for row, tokens in enumerate(ids.tolist()):
                texts = self.processing_class.batch_decode([[token] for token in tokens])
                breaks[row] = torch.tensor(["\n" in text for text in texts])
                lines = "".join(texts).split("\n")
                held = [bool(re.search(r"\d+ [+-] \d+ = -?\d+", line)) for line in lines]
                of_token = (breaks[row].cumsum(0) - breaks[row].long()).clamp(max=len(held) - 1)
                credit[row] = torch.tensor(held, dtype=credit.dtype)[of_token]
            made["advantages"] = made["advantages"][:, None] + 0.3 * (credit - credit.mean()).to(ids.device)
            return made

    trl.GRPOTrainer = Stepwise


def run_ours(a: argparse.Namespace) -> None:
    """The rl recipe on a run folder with the peer's prompts."""
    from trainer.__main__ import set_environment
    from trainer.contract.records import InputRow
    from trainer.contract.run_folder import RunFolder, sha256_of
    from trainer.contract.spec import CodeRef, RunSpec, build, parameters

    sys.path.insert(0, str(a.peers))
    from trl_trainers import make_rows

    settings = {"model": str(a.folder / "model"), "prompts": PROMPTS, "traces": TRACES, "updates": UPDATES}
    settings |= {"max_thinking": NEW, "max_answer": NEW, "rate": 3e-4, "kl_weight": 0.04, "clip_high": 0.2}
    settings |= {"process_weight": 0.0, "outcome_weight": 0.0, "reward": "rules.py:both", "reward_weight": 1.0}
    settings |= {"algorithm": "dapo", "eval_every": 1000, "checkpoint_every": 1000, "threads": THREADS, "seed": a.seed}
    settings |= {"on_alarm": "only tell"}
    folder = RunFolder(a.folder / f"run-{a.seed}")
    code = a.folder / "rules.py"
    code.write_text(REWARD)
    ref = CodeRef(role="reward", path="code/rules.py", function="both", sha256=sha256_of(code), consented=True)
    spec = RunSpec(run="bench", name="bench", recipe="rl", parameters=parameters(build("rl", settings)), code=(ref,))
    set_environment(spec)
    rows = make_rows(max(UPDATES * 8, 64) * 2, a.seed + 100)
    folder.create(
        spec,
        (
            InputRow(
                id=str(number),
                trace=str(number),
                segmentation=1,
                problem=row["prompt"],
                steps=(),
                step_ids=(),
                reference=row["answer"],
            )
            for number, row in enumerate(rows)
        ),
    )
    (folder.path / "code").mkdir()
    (folder.path / "code" / "rules.py").write_text(REWARD)
    print(json.dumps(timed(folder.path)))


def timed(path: Path) -> dict[str, float]:
    """Run the recipe; processor and wall seconds of the middle update, peak memory, first and last loss, last KL."""
    from trainer.contract.run_folder import RunFolder
    from trainer.models.sampling import Sampling
    from trainer.recipes import rl
    from trainer.rl.author import Author
    from trainer.rl.train import RlTraining
    from trainer.runtime.worker import run_attempt

    wall: list[float] = []
    cpu: list[float] = []
    rss: list[float] = []
    advance = RlTraining._advance

    def clocked(self: RlTraining) -> None:
        began, burnt = time.perf_counter(), time.process_time()
        advance(self)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - burnt)
        rss.append(peaked())

    def exactly(self: Author) -> Sampling:
        return replace(Sampling(max_new_tokens=NEW), stop_ids=())

    RlTraining._advance = clocked  # type: ignore[method-assign]
    Author._sampling = exactly  # type: ignore[method-assign]
    folder = RunFolder(path)
    if run_attempt(path, lambda _: rl.run):
        raise SystemExit(folder.events.read_text()[-3000:])
    told: list[dict[str, Any]] = [
        event["values"]
        for event in map(json.loads, folder.events.read_text().splitlines())
        if event["kind"] == "metrics" and event["split"] == "train"
    ]
    assert all(values["num_tokens"] == PROMPTS * TRACES * NEW for values in told), "the same work as the peer's"
    result = {"cpu": statistics.median(cpu[WARMUP:]), "wall": statistics.median(wall[WARMUP:]), "rss": rss[-1]}
    return result | {"first": told[0]["loss"], "last": told[-1]["loss"], "kl": told[-1]["kl"]}


def tell_kl(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> None:
    """How far both have moved after the same updates; other draws, so only of the same size."""
    line("GRPO, KL after 9 updates, ours (mean of seeds)", statistics.mean(run["kl"] for run in ours), "nats a token")
    if peer:
        line("GRPO, KL after 9 updates, TRL (mean)", statistics.mean(run["kl"] for run in peer), "nats a token")


def main() -> int:
    """Play the role."""
    a = arguments(__doc__, "STEPLENS_PEER_TRL_SFT")
    if a.role == "drive":
        return drive(a, __file__, "GRPO", 0.5, 0.95, told=tell_kl, other="beside (B, T) advantages")
    if a.role == "other":
        run_peer(a, by_token=True)
    else:
        {"model": make_model, "peer": run_peer, "ours": run_ours}[a.role](a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
