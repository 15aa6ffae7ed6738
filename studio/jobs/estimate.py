"""What a run will need: measured on past runs of the same kind on this device, else from stated assumptions."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from studio.jobs.prepare import TINY
from studio.jobs.values import Estimate, RunOrder
from studio.store import models, runs
from studio.store.rows import Counts
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.spec import Adapt, Precision, RunSpec
from trainer.reasoning.estimate import ModelShape, estimate_prm, tokens_in_a_pass

CHARACTERS_A_TOKEN = 2.6  # mathematical text under common vocabularies has 2 to 3.5
CPU_FLOPS = 6.0e10  # fp32 on a few cores; an assumption, and named as one
GPU_FLOPS = 2.0e13
START_SECONDS = 10.0  # importing torch, reading the model
BASE_BYTES = 450 << 20  # torch and transformers without a model
TINY_WEIGHTS = 400_000
TINY_TOKENS_A_SECOND = 12_000.0  # its passes are bound by overhead, not by arithmetic
BYTES_A_ROW, BYTES_A_STEP = 260, 30  # of input.jsonl, beside the text itself
MOST_PAST = 5


def estimate(workspace: Workspace, order: RunOrder, counts: Counts) -> Estimate:
    """Time, memory and disk of a checked order with these rows; `basis` says what the figures rest on."""
    weights = weights_of(workspace, order)
    past = _past_speeds(workspace, order)
    passes = _passes(order, counts)
    if past:
        took = START_SECONDS + passes * _row_bytes(counts) / statistics.median(past)
        time = _Time(took, f"time: measured on {len(past)} finished run(s) like this on {order.device}")
    else:
        time = _assumed(order, counts, weights, passes)
    seconds, minutes = time.seconds, float(order.parameters.get("max_minutes", 0.0))
    if seconds is not None and minutes:
        seconds = min(seconds, START_SECONDS + 60 * minutes)
    sizes = _sizes(workspace, order, counts, weights)
    if sizes is None:
        return Estimate(seconds, None, None, time.basis)
    return Estimate(seconds, sizes.memory_bytes, sizes.disk_bytes, f"{time.basis}; {sizes.basis}")


def weights_of(workspace: Workspace, order: RunOrder) -> int | None:
    """How many weights the model has, None when it does not lie on this machine."""
    named = str(order.parameters.get("model", ""))
    if named in ("", TINY):
        return TINY_WEIGHTS
    with workspace.database.read() as c:
        known = models.find(c, named)
    path = workspace.path / known.folder if known is not None else Path(named).expanduser()
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if not files:
        return None
    return sum(file.stat().st_size for file in files) // _bytes_a_weight(path)


def _bytes_a_weight(path: Path) -> int:
    config = path / "config.json"
    if not config.is_file():
        return 2
    said = msgspec.json.decode(config.read_bytes())
    kind = str(said.get("dtype") or said.get("torch_dtype") or "float32")
    return 2 if kind in ("bfloat16", "float16") else 4


def _passes(order: RunOrder, counts: Counts) -> float:
    """How often every row is read: training passes count, scoring is one."""
    if order.recipe != "prm":
        return 1.0
    epochs, most = float(order.parameters["epochs"]), int(order.parameters["max_steps"])
    if most and counts.rows:
        epochs = most * int(order.parameters["batch_size"]) / counts.rows
    return epochs


def _row_bytes(counts: Counts) -> int:
    return counts.characters + BYTES_A_ROW * counts.rows + BYTES_A_STEP * counts.steps


def _past_speeds(workspace: Workspace, order: RunOrder) -> list[float]:
    """Bytes of rows a second of finished runs with the same recipe, model and way of training on this device."""
    with workspace.database.read() as c:
        finished = [
            run
            for run in runs.all_runs(c)  # a run that stays spends its time waiting
            if run.state is StoredState.FINISHED and run.attempts == 1 and not run.resident
        ]
    alike = [run for run in finished if (run.recipe, run.device) == (order.recipe, order.device)]
    speeds = (_speed(workspace, order, run) for run in alike[: 4 * MOST_PAST])
    return [speed for speed in speeds if speed is not None][:MOST_PAST]


def _speed(workspace: Workspace, order: RunOrder, run: StoredRun) -> float | None:
    folder = RunFolder(workspace.path / run.folder)
    try:
        spec = folder.read_spec()
        size = folder.input.stat().st_size
    except (RunFolderError, FileNotFoundError):
        return None  # somebody deleted the folder; the run says nothing about speed any more
    same = all(spec.parameters.get(name) == order.parameters.get(name) for name in ("model", "adapt", "precision"))
    if not same or run.started_at is None or run.ended_at is None:
        return None
    took = (datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)).total_seconds()
    return size * _passes_of(spec) / max(took - START_SECONDS, 0.5)


def _passes_of(spec: RunSpec) -> float:
    if spec.recipe != "prm":
        return 1.0
    epochs, most = float(spec.parameters["epochs"]), int(spec.parameters["max_steps"])
    return most * int(spec.parameters["batch_size"]) / max(spec.input_rows, 1) if most else epochs


@dataclass(frozen=True, slots=True)
class _Time:
    seconds: float | None
    basis: str


def _assumed(order: RunOrder, counts: Counts, weights: int | None, passes: float) -> _Time:
    if weights is None:
        return _Time(None, "time: unknown, as the model is not on this machine yet")
    tokens = counts.characters / CHARACTERS_A_TOKEN * passes
    flops = GPU_FLOPS if order.device.startswith("cuda") else CPU_FLOPS
    work = 6 if order.recipe == "prm" else 2  # operations a weight and token: forward and backward, or forward alone
    speed = min(flops / (work * weights), TINY_TOKENS_A_SECOND if weights <= TINY_WEIGHTS else float("inf"))
    basis = f"time: assumed, about {tokens:,.0f} tokens at {speed:,.0f} a second, until a run like this has finished"
    return _Time(START_SECONDS + tokens / speed, basis)


@dataclass(frozen=True, slots=True)
class _Sizes:
    memory_bytes: int
    disk_bytes: int
    basis: str


def _sizes(workspace: Workspace, order: RunOrder, counts: Counts, weights: int | None) -> _Sizes | None:
    """Memory and disk; None when nothing is known of the model. A PRM's come from its shape, see reasoning.estimate."""
    if weights is None:
        return None
    if order.recipe != "prm":
        disk = _row_bytes(counts) + 24 * counts.steps
        return _Sizes(BASE_BYTES + 4 * weights, disk, f"memory: from {weights:,} weights in fp32")
    shape = shape_of(workspace, order, weights)
    said = order.parameters
    layers = _trained_layers(order, shape)
    on_cpu = not order.device.startswith("cuda")
    length = min(float(said["max_length"]), max(16.0, counts.longest / CHARACTERS_A_TOKEN))
    batch = int(said["batch_size"])
    need = estimate_prm(
        shape,
        trainable=_trained(order, shape, layers),
        trained_layers=layers,
        batch=batch,
        length=length,
        pass_tokens=tokens_in_a_pass(batch, length, on_cpu=on_cpu, micro_batch=int(said["micro_batch"])),
        keep_last=int(said["keep_last"]),
        bf16=said["precision"] == Precision.BF16.value,
        language_loss=float(said["language_loss"]) > 0,
        checkpointing=bool(said["gradient_checkpointing"]),
    )
    basis = f"memory and disk: from {weights:,} weights and rows of up to {length:,.0f} tokens"
    return _Sizes(need.memory_bytes, need.disk_bytes + _row_bytes(counts), basis)


def shape_of(workspace: Workspace, order: RunOrder, weights: int) -> ModelShape:
    """The decoder's size: from config.json of a folder on this machine, else guessed from the number of weights."""
    named = str(order.parameters.get("model", ""))
    with workspace.database.read() as c:
        known = models.find(c, named)
    config = (workspace.path / known.folder if known is not None else Path(named).expanduser()) / "config.json"
    said = msgspec.json.decode(config.read_bytes()) if named not in ("", TINY) and config.is_file() else {}
    hidden = int(said.get("hidden_size") or max(64, round((weights / 150) ** 0.5)))
    return ModelShape(
        parameters=weights,
        hidden=hidden,
        feed_forward=int(said.get("intermediate_size") or 3 * hidden),
        layers=int(said.get("num_hidden_layers") or max(2, round(weights / (13 * hidden * hidden)))),
        vocabulary=int(said.get("vocab_size") or 512),
    )


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
            return 3 * shape.hidden
        case Adapt.LAST_LAYERS.value:
            dense = shape.parameters - shape.vocabulary * shape.hidden
            return dense * layers // max(shape.layers, 1)
        case _:
            return shape.parameters
