"""How large a model is, and the memory and disk that a run with it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from studio.jobs.roles import MODEL, PRM, TINY, named, where_is
from studio.jobs.values import RunOrder
from studio.store.rows import Counts
from studio.workspace import Workspace
from trainer.contract.spec import Adapt, EvaluateSpec, Precision, build
from trainer.reasoning.estimate import BASE_BYTES as TRAINING_BASE_BYTES
from trainer.reasoning.estimate import Estimate, ModelShape, estimate_prm, tokens_in_a_pass

CHARACTERS_A_TOKEN = 2.6  # mathematical text under common vocabularies has 2 to 3.5
RL_BASE_BYTES = 460 << 20  # of a worker of rl with next to no model, measured; its imports alone are 375 MiB
BASE_BYTES = 450 << 20  # torch and transformers without a model
TINY_WEIGHTS = 400_000
BYTES_A_ROW, BYTES_A_STEP = 260, 30  # of input.jsonl, beside the text itself
RECORD_BYTES = 24  # of a step in records.jsonl
ROLLOUT_BYTES = 25  # of a token in a file of rollouts: id, log-prob, entropy, advantage, value, and two marks
TRACE_BYTES = 20  # of a token in a record of a trace: its text, and start, log-prob, entropy and mark in base 64
DECODED_TOGETHER = 64  # traces that the decoder of rl writes at once; more of one problem stay together
ROLLOUT_LINES = 1 << 23  # numbers in one chunk of log-probs, see trainer.rl.logprobs


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, and what they rest on."""

    memory_bytes: int
    disk_bytes: int
    basis: str


def row_bytes(counts: Counts) -> int:
    """Bytes of input.jsonl."""
    return counts.characters + BYTES_A_ROW * counts.rows + BYTES_A_STEP * counts.steps


def weights_of(workspace: Workspace, order: RunOrder, role: str = MODEL) -> int | None:
    """How many weights the model of a role has, 0 without one, None when it does not lie on this machine."""
    name = named(order, role)
    if not name:
        return 0
    if name == TINY:
        return TINY_WEIGHTS
    path = _path_of(workspace, name)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if not files:
        return None
    return sum(file.stat().st_size for file in files) // _bytes_a_weight(path)


def sizes(workspace: Workspace, order: RunOrder, counts: Counts, weights: int) -> Sizes | None:
    """Memory and disk of a checked order; None when a model of it is not here."""
    match order.recipe:
        case "prm" | "orm" | "sft":
            return _of_training(workspace, order, counts, weights)
        case "rl":
            return _of_reinforcement(workspace, order, counts, weights)
        case "autolabel" if weights:
            return _of_rollouts(workspace, order, counts, weights)
        case "generate":
            return _of_traces(workspace, order, counts, weights)
        case "evaluate" if weights and not evaluation(order).suite.judges_prm:
            return _of_traces(workspace, as_traces(order), counts, weights)
    disk = row_bytes(counts) + RECORD_BYTES * counts.steps
    text = f"memory: from {weights:,} weights in fp32" if weights else "memory: without a model"
    return Sizes(BASE_BYTES + 4 * weights, disk, text)


def _of_training(workspace: Workspace, order: RunOrder, counts: Counts, weights: int) -> Sizes:
    length = min(float(order.parameters["max_length"]), max(16.0, counts.longest / CHARACTERS_A_TOKEN))
    batch = int(order.parameters["batch_size"])
    language = order.recipe == "sft" or float(order.parameters["language_loss"]) > 0
    need = _training(shape_of(workspace, order, weights), order, batch=batch, length=length, language=language)
    basis = f"memory and disk: from {weights:,} weights and rows of up to {length:,.0f} tokens"
    return Sizes(need.memory_bytes, need.disk_bytes + row_bytes(counts), basis)


def _of_reinforcement(workspace: Workspace, order: RunOrder, counts: Counts, weights: int) -> Sizes | None:
    """The policy's training beside what it is compared with, the PRM, and the decoder's cache; rollouts on disk."""
    said, shape = order.parameters, shape_of(workspace, order, weights)
    judge = weights_of(workspace, order, PRM)
    if judge is None:
        return None
    length, traces = longest_trace(order, counts), int(said["prompts"]) * int(said["traces"])
    batch = traces // int(said["parts"]) or 1
    need = _training(shape, order, batch=batch, length=length, language=False, base=RL_BASE_BYTES)
    copies = 1 if float(said["kl_weight"]) and said["adapt"] != Adapt.LORA.value else 0
    together = min(traces, max(DECODED_TOGETHER, int(said["traces"])))
    cache = together * length * cache_bytes(workspace, order, shape)
    logits = 4 * 3 * min(ROLLOUT_LINES, shape.vocabulary * length * together)
    memory = need.memory_bytes + 4 * (copies * weights + judge) + int(cache) + int(logits)
    kept = min(int(said["keep_rollouts"]) or int(said["updates"]), int(said["updates"]))
    disk = need.disk_bytes + row_bytes(counts) + kept * traces * ROLLOUT_BYTES * length
    basis = f"memory and disk: from {weights:,} and {judge:,} weights, at most, if every trace has {length:,.0f} tokens"
    return Sizes(memory, int(disk), basis)


def _of_rollouts(workspace: Workspace, order: RunOrder, counts: Counts, weights: int) -> Sizes:
    shape = shape_of(workspace, order, weights)
    length = counts.longest / CHARACTERS_A_TOKEN + int(order.parameters["max_tokens"])
    together = max(DECODED_TOGETHER, int(order.parameters["rollouts"]))
    memory = BASE_BYTES + 4 * weights + together * length * cache_bytes(workspace, order, shape)
    disk = row_bytes(counts) + 3 * RECORD_BYTES * counts.steps
    return Sizes(int(memory), disk, f"memory: from {weights:,} weights, if rollouts are as long as they may be")


def _of_traces(workspace: Workspace, order: RunOrder, counts: Counts, weights: int) -> Sizes:
    """Traces written at once, each as long as its budgets allow; their text, tokens and values on disk."""
    shape, said = shape_of(workspace, order, weights), order.parameters
    length = counts.characters / max(counts.rows, 1) / CHARACTERS_A_TOKEN + written_at_most(order)
    traces = counts.rows * int(said["n"])
    together = min(max(int(said["batch_rows"]), 1), traces)
    memory = BASE_BYTES + 4 * weights + together * length * cache_bytes(workspace, order, shape)
    logits = 4 * 3 * min(ROLLOUT_LINES, shape.vocabulary * together)
    disk = row_bytes(counts) + traces * TRACE_BYTES * written_at_most(order)
    basis = f"memory and disk: from {weights:,} weights, at most, if every trace has {length:,.0f} tokens"
    return Sizes(int(memory + logits), int(disk), basis)


def evaluation(order: RunOrder) -> EvaluateSpec:
    """What an order of the recipe `evaluate` asks for."""
    spec = build("evaluate", dict(order.parameters))
    assert isinstance(spec, EvaluateSpec)
    return spec


def as_traces(order: RunOrder) -> RunOrder:
    """An evaluation as a run that writes its answers, every one under the largest of its caps."""
    spec = evaluation(order)
    caps, set_to = spec.caps(), spec.with_preset()
    budgets = {"max_thinking_tokens": caps[-1], "max_answer_tokens": set_to.max_answer_tokens}
    return replace(order, parameters={**order.parameters, **budgets, "n": set_to.n * len(caps)})


def written_at_most(order: RunOrder) -> int:
    """Tokens of the longest trace that the budgets of an order allow."""
    return int(order.parameters["max_thinking_tokens"]) + int(order.parameters["max_answer_tokens"])


def longest_trace(order: RunOrder, counts: Counts) -> float:
    """Tokens of the longest prompt with the longest response that rl lets the policy write."""
    prompt = counts.characters / max(counts.rows, 1) / CHARACTERS_A_TOKEN
    return prompt + int(order.parameters["max_thinking"]) + int(order.parameters["max_answer"])


def _training(
    shape: ModelShape, order: RunOrder, *, batch: int, length: float, language: bool, base: int = TRAINING_BASE_BYTES
) -> Estimate:
    """Of one optimiser step over `batch` rows of `length` tokens."""
    said = order.parameters
    layers = _trained_layers(order, shape)
    on_cpu = not order.device.startswith("cuda")
    return estimate_prm(
        shape,
        trainable=_trained(order, shape, layers),
        trained_layers=layers,
        batch=batch,
        length=length,
        pass_tokens=tokens_in_a_pass(batch, length, on_cpu=on_cpu, micro_batch=int(said["micro_batch"])),
        keep_last=int(said["keep_last"]),
        bf16=said["precision"] == Precision.BF16.value,
        language_loss=language,
        checkpointing=bool(said["gradient_checkpointing"]),
        base_bytes=base,
    )


def shape_of(workspace: Workspace, order: RunOrder, weights: int) -> ModelShape:
    """The decoder's size: from config.json of a folder on this machine, else guessed from the number of weights."""
    said = _config(workspace, order)
    hidden = int(said.get("hidden_size") or max(64, round((weights / 150) ** 0.5)))
    return ModelShape(
        parameters=weights,
        hidden=hidden,
        feed_forward=int(said.get("intermediate_size") or 3 * hidden),
        layers=int(said.get("num_hidden_layers") or max(2, round(weights / (13 * hidden * hidden)))),
        vocabulary=int(said.get("vocab_size") or 512),
    )


def cache_bytes(workspace: Workspace, order: RunOrder, shape: ModelShape) -> int:
    """Bytes of keys and values that a token leaves in all layers, in fp32."""
    said = _config(workspace, order)
    heads, shared = int(said.get("num_attention_heads") or 1), said.get("num_key_value_heads")
    width = int(said.get("head_dim") or shape.hidden // heads) * int(shared or heads)
    return 2 * 4 * shape.layers * width


def _config(workspace: Workspace, order: RunOrder) -> dict[str, Any]:
    name = named(order, MODEL)
    config = _path_of(workspace, name) / "config.json" if name not in ("", TINY) else None
    found: dict[str, Any] = msgspec.json.decode(config.read_bytes()) if config and config.is_file() else {}
    return found


def _path_of(workspace: Workspace, name: str) -> Path:
    with workspace.database.read() as c:
        return where_is(workspace, c, name)


def _bytes_a_weight(path: Path) -> int:
    config = path / "config.json"
    if not config.is_file():
        return 2
    said = msgspec.json.decode(config.read_bytes())
    kind = str(said.get("dtype") or said.get("torch_dtype") or "float32")
    return 2 if kind in ("bfloat16", "float16") else 4


def _trained_layers(order: RunOrder, shape: ModelShape) -> int:
    match order.parameters["adapt"]:
        case Adapt.HEAD.value:
            return 0
        case Adapt.LAST_LAYERS.value:
            return min(int(order.parameters["last_layers"]), shape.layers)
        case _:
            return shape.layers  # LoRA's gradients pass through every layer


def _trained(order: RunOrder, shape: ModelShape, layers: int) -> int:
    """Weights that get gradients. LoRA: two thin matrices beside each of seven projections of a layer."""
    match order.parameters["adapt"]:
        case Adapt.LORA.value:
            widths = 8 * shape.hidden + 3 * (shape.hidden + shape.feed_forward)
            return shape.layers * int(order.parameters["lora_rank"]) * widths
        case Adapt.HEAD.value:
            return shape.vocabulary * shape.hidden if order.recipe in ("sft", "rl") else 3 * shape.hidden
        case Adapt.LAST_LAYERS.value:
            dense = shape.parameters - shape.vocabulary * shape.hidden
            return dense * layers // max(shape.layers, 1)
        case _:
            return shape.parameters
