"""How soon a policy that stands ready answers: asking to first token told, beside the model's own first-token time.

    python -m bench.answering [--smollm FOLDER] [--rounds 15]

A resident run of the recipe `generate` is asked as the window asks it (request file, worker, event file, listener); one
trace, temperature 0.7, another problem each time. The model's own time is a decoder in this process: it reads a prompt
that it has not seen and draws one token, with as many threads. Both take turns. "Begins" is from the call to the moment
at which the worker takes the request. SmolLM2-135M is a local folder (`--smollm` or STEPLENS_SMOLLM).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from studio.domain import new_uid
from studio.jobs.service import Jobs
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.workspace import Workspace
from trainer.contract.events import Answered
from trainer.contract.records import InputRow
from trainer.contract.requests import GenerateRequest
from trainer.contract.run_folder import RunFolder, read_events
from trainer.models.answering import Asked, Writer
from trainer.models.asking import Manner
from trainer.models.policies import load_policy
from trainer.models.tiny import make_tiny, make_tokenizer
from trainer.reasoning.budget import Grant
from trainer.reasoning.stories import make_stories

THREADS, TOKENS, WARM = 2, 24, 3
SLOWER, BEGIN_MS = 1.5, 300.0


@dataclass(slots=True)
class Heard:
    """When what came of one request."""

    asked: float
    first: float = 0.0
    done: float = 0.0
    begun: float = 0.0  # Unix time
    stage: Stage = Stage.WAITING
    text: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def hear(self, said: Reply | Streamed) -> None:
        """Called in the thread that follows answers."""
        if isinstance(said, Streamed):
            self.first = self.first or time.perf_counter()
        elif said.stage is not Stage.WAITING:
            self.done, self.stage, self.text = time.perf_counter(), said.stage, said.text
            self.over.set()


def main() -> int:
    """Print the figures as JSON lines; exit code 1 when one is worse than it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm", default=os.environ.get("STEPLENS_SMOLLM"), help="folder of SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    problems = [story.problem for story in make_stories(4 * (args.rounds + WARM), seed=7)]
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        root = Path(scratch)
        models = [
            ("tiny, 0.4 M", make_policy(root / "tiny", problems)),
            ("5 M Llama", make_llama(root / "llama", problems)),
        ]
        if args.smollm:
            models.append(("SmolLM2-135M", Path(args.smollm)))
        met = [
            measure(name, folder, root / f"ws-{number}", problems, args.rounds)
            for number, (name, folder) in enumerate(models)
        ]
    return 0 if all(met) else 1


def make_policy(folder: Path, problems: list[str]) -> Path:
    """A tiny policy with fresh weights."""
    made = make_tiny(problems, 1)
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def make_llama(folder: Path, problems: list[str]) -> Path:
    """A Llama of 5 M weights, fresh."""
    tokenizer = make_tokenizer(problems)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
        )
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measure(name: str, folder: Path, workspace: Path, problems: list[str], rounds: int) -> bool:
    """The figures of one model; whether those that must be reached are."""
    own = Writer(load_policy(str(folder)), Manner())
    jobs = Jobs(Workspace.open(workspace, create=True))
    jobs.start()
    try:
        mine, told, begins, lasts = [], [], [], []
        for number in range(rounds + WARM):
            alone = first_token(own, problems[2 * number])
            heard = ask(jobs, folder, problems[2 * number + 1])
            if number >= WARM:
                mine.append(alone)
                told.append(heard.first - heard.asked)
                begins.append(heard.begun)
                lasts.append(heard.done - heard.asked)
    finally:
        for view in jobs.runs():
            jobs.cancel(view.id)
        jobs.stop()
        jobs.workspace.close()
    bare, first = statistics.median(mine) * 1e3, statistics.median(told) * 1e3
    begin, worst = statistics.median(begins) * 1e3, max(begins) * 1e3
    ratio = statistics.median(each / alone for each, alone in zip(told, mine, strict=True))
    tell(f"{name}: the model's own first token", bare, "ms")
    tell(f"{name}: asking to first token told", first, "ms")
    tell(f"{name}: told to own", ratio, "times", SLOWER)
    tell(f"{name}: told later than its own", first - bare, "ms")
    tell(f"{name}: a next request begins after", begin, "ms", BEGIN_MS)
    tell(f"{name}: the slowest of {rounds}", worst, "ms", BEGIN_MS)
    tell(f"{name}: {TOKENS} tokens, in the store", statistics.median(lasts) * 1e3, "ms")
    return worst <= BEGIN_MS and ratio <= SLOWER


def first_token(own: Writer, problem: str) -> float:
    """Seconds in which the model reads a new prompt and draws one token, nothing else."""
    began = time.perf_counter()
    own.write([Asked(problem, 1, Grant(0, 1))])
    return time.perf_counter() - began


def ask(jobs: Jobs, folder: Path, problem: str) -> Heard:
    """One request to the resident run, to its end."""
    row = InputRow(id=new_uid(), trace="", segmentation=1, problem=problem, steps=(), step_ids=())
    half = TOKENS // 2
    request = GenerateRequest(
        id=new_uid(), row=row, settings={"n": 1, "max_thinking_tokens": half, "max_answer_tokens": half}
    )
    unix, heard = time.time(), Heard(time.perf_counter())
    jobs.ask("generate", {"model": str(folder)}, request, heard.hear, settings={"threads": THREADS})
    if not heard.over.wait(300) or heard.stage is not Stage.DONE:
        raise RuntimeError(f"{heard.stage.value}: {heard.text or 'no answer within five minutes'}")
    (run,) = [RunFolder(jobs.workspace.path / view.folder) for view in jobs.runs() if view.resident]
    answered = [e for e in read_events(run.events)[0] if isinstance(e, Answered) and e.request == request.id]
    heard.begun = answered[0].at - answered[0].seconds - unix
    return heard


def tell(what: str, value: float, unit: str, must: float | None = None) -> None:
    """One figure."""
    figure = {"what": what, "value": round(value, 2), "unit": unit}
    print(json.dumps(figure if must is None else figure | {"must": must}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
