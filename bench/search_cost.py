"""Best-of-n of a small policy against one pass of one with three times its weights: cost against accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.loop import with_labels, write_traces
from bench.stages import Done, Stages
from trainer.contract.records import InputRow, MachineLabelRecord, SearchRecord, Split, TraceRecord
from trainer.contract.run_folder import all_records
from trainer.models.load import load_prm
from trainer.models.policies import load_policy
from trainer.models.tiny import make_tokenizer
from trainer.reasoning.cost_accuracy import Attempted, Models, attempted, contest, plan
from trainer.reasoning.demonstrations import DEMONSTRATION_PRESET, demonstration_row, make_demonstrations
from trainer.reasoning.response import read_response

MOST, PROBLEMS, DEMONSTRATIONS, LABELLED = 16, 200, 6000, 2400
SFT: dict[str, Any] = {**DEMONSTRATION_PRESET, "max_steps": 350, "threads": 2}
PRM: dict[str, Any] = {
    "model": "tiny", "max_length": 128, "batch_size": 32, "max_steps": 700, "head_rate": 3e-3, "body_rate": 3e-3,
    "decay": 0.95, "weight_decay": 0.1, "language_loss": 1.0, "eval_every": 700, "checkpoint_every": 700, "threads": 2,
}  # fmt: skip
ROLLOUTS: dict[str, Any] = {
    "method": "rollouts from every step", "hardness": "soft", "rollouts": 4, "max_tokens": 76, "algebra": False,
    "threads": 2,
}  # fmt: skip
SHARED: dict[str, Any] = {"max_thinking_tokens": 64, "max_answer_tokens": 12, "temperature": 1.0, "threads": 2}


def cost(root: Path) -> None:
    """Train three models, search with them, print the curve."""
    stages = Stages(root)
    small, large, prm, rows = models(stages)
    tested = [row for row in rows if row.split is Split.TEST][:PROBLEMS]
    ours, theirs = plan("small", "prm", "large", MOST, **SHARED)
    first = stages.do("best-of", "search", tested, ours.settings, {"model": small, "prm": prm})
    second = stages.do("one-pass", "search", tested, theirs.settings, {"model": large})
    judge = sum(weight.numel() for weight in load_prm(str(prm)).prm.parameters())
    made = contest(
        tries(first), Models("the small policy", weights(small), judge),
        tries(second), Models("the larger one", weights(large)),
    )  # fmt: skip
    for point, lead in zip(made.small, made.leads, strict=True):
        accuracy = point.accuracy
        what = f"best of {point.n}, {weights(small):,} weights [{accuracy.low:.3f}, {accuracy.high:.3f}]"
        _tell(what, accuracy.value, f"right, {point.tokens:.0f} tokens, {point.cost / made.large.cost:.2f} x the cost")
        _tell(f"best of {point.n} over one pass of the larger [{lead.low:+.3f}, {lead.high:+.3f}]", lead.value, "")
    accuracy = made.large.accuracy
    what = f"one pass, {weights(large):,} weights [{accuracy.low:.3f}, {accuracy.high:.3f}]"
    _tell(what, accuracy.value, f"right, {made.large.tokens:.0f} tokens, cost {made.large.cost:.3g} tokens x weights")
    _tell("cost against accuracy", made.sentence, "")


def models(stages: Stages) -> tuple[Path, Path, Path, list[InputRow]]:
    """A small policy, a larger one, and a PRM; all learn from the same demonstrations of a teacher with a mistake.

    The policies learn from right ones alone; the PRM from traces of the small one, labelled by rollouts.
    """
    made = make_demonstrations(DEMONSTRATIONS, seed=2)
    rows = [demonstration_row(one, number, rated=True) for number, one in enumerate(made)]
    bare = stages.root / "smaller"
    if not bare.exists():
        make_smaller(bare, rows)
    small = stages.do("small", "sft", rows, {**SFT, "model": str(bare), "max_steps": 500})
    large = stages.do("large", "sft", rows, SFT)
    prm = stages.do("prm", "prm", labelled(stages, small.folder.model, rows), PRM)
    return small.folder.model, large.folder.model, prm.folder.model, rows


def labelled(stages: Stages, policy: Path, rows: list[InputRow]) -> list[InputRow]:
    """Traces of a policy, their steps with the share of its own rollouts that are right from there."""
    kept = stages.root / "traces.jsonl"
    if not kept.exists():
        problems = [row for row in rows if row.split is Split.TRAIN][:LABELLED]
        traces = write_traces(policy, problems, 2, temperature=1.0, seed=5)
        kept.write_bytes(b"\n".join(msgspec.json.encode(row) for row in traces) + b"\n")
    written = [msgspec.json.decode(line, type=InputRow) for line in kept.read_bytes().splitlines()]
    done = stages.do("labels", "autolabel", written, ROLLOUTS, {"model": policy})
    labels = (one for one in all_records(done.folder.records) if isinstance(one, MachineLabelRecord))
    said = {one.row: one.values for one in labels}
    return [with_labels(row, said[row.id]) for row in written if row.steps]


def make_smaller(folder: Path, rows: list[InputRow]) -> None:
    """A Llama with a third of the tiny one's weights, all fresh."""
    texts = [text for row in rows for text in (row.problem, row.response or "")]
    tokenizer = make_tokenizer(texts, longest=512)
    size = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.125,
        **size,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tries(done: Done) -> list[Attempted]:
    """The searches of a run."""
    records = list(all_records(done.folder.records))
    traces = {record.id: record for record in records if isinstance(record, TraceRecord)}
    return [
        attempted(
            record,
            [traces[uid].outcome for uid in record.traces],
            [read_response(traces[uid].text).answer is not None for uid in record.traces],
        )
        for record in records
        if isinstance(record, SearchRecord)
    ]


def weights(folder: Path) -> int:
    """Parameters of a policy."""
    return sum(weight.numel() for weight in load_policy(str(folder)).language.parameters())


def _tell(what: str, value: float | str, unit: str) -> None:
    print(json.dumps({"what": what, "value": value, "unit": unit, "must": "", "met": None}), flush=True)
