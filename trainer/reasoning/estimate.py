"""What training a PRM needs, from its shape alone: memory, disk and arithmetic. Torch-free; both sides use it."""

from __future__ import annotations

from dataclasses import dataclass

BASE_BYTES = 470 << 20  # a worker with torch, transformers, accelerate and scikit-learn, before its model
FLOAT = 4  # weights, gradients and AdamW's moments are float32 whatever the passes use
MICRO_TOKENS = 1024  # tokens in one pass on a processor; see trainer.models.learn
CHECKPOINTS_BESIDE_THE_LAST = 2  # the best one, and one being written


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder's size; `feed_forward` is the width inside its MLP."""

    parameters: int
    hidden: int
    feed_forward: int
    layers: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Peak memory and disk in bytes, arithmetic of one optimiser step in floating-point operations."""

    memory_bytes: int
    disk_bytes: int
    flops_per_step: float

    def seconds(self, steps: int, flops_per_second: float) -> float:
        """Time of that many steps at a measured speed."""
        return steps * self.flops_per_step / flops_per_second


def tokens_in_a_pass(batch: int, length: float, *, on_cpu: bool, micro_batch: int = 0) -> float:
    """Padded tokens of the largest pass: a micro-batch, or what suits the device."""
    rows = float(micro_batch or batch)
    whole = rows * length
    return min(whole, max(MICRO_TOKENS, length)) if on_cpu and not micro_batch else whole


def estimate_prm(
    shape: ModelShape,
    *,
    trainable: int,
    trained_layers: int,
    batch: int,
    length: float,
    pass_tokens: float,
    keep_last: int = 2,
    bf16: bool = False,
    language_loss: bool = False,
    checkpointing: bool = False,
    base_bytes: int = BASE_BYTES,
) -> Estimate:
    """Peak of one worker that trains `trainable` of the weights on rows of `length` tokens.

    Weights 4 bytes each, gradients 4 and AdamW's two moments 8 for each trained weight. A Llama block keeps about
    13 hidden-wide and 4 MLP-wide values a token for its backward pass (two norms with their inputs, queries, keys and
    values before and after rotation, attention and its projection; gate, up, their product and the activation), and one
    block more is in work; with checkpointing only each block's input stays. Arithmetic is 6 operations
    a weight and token for trained blocks, 2 for the forward pass through the others (Kaplan 2020, section 2.1).
    """
    value = 2 if bf16 else FLOAT
    block = (13 * shape.hidden + 4 * shape.feed_forward) * value * pass_tokens
    kept = shape.hidden * value * pass_tokens * trained_layers
    activations = block + (kept if checkpointing else block * trained_layers)
    if language_loss:  # logits, their float32 softmax and its gradient
        activations += 3 * shape.vocabulary * FLOAT * pass_tokens
    state = FLOAT * shape.parameters + (FLOAT + 2 * FLOAT) * trainable
    checkpoint = 3 * FLOAT * trainable
    disk = (keep_last + CHECKPOINTS_BESIDE_THE_LAST) * checkpoint + FLOAT * shape.parameters
    dense = shape.parameters - shape.vocabulary * shape.hidden
    share = trained_layers / shape.layers if shape.layers else 1.0
    flops = batch * length * dense * (2 + 4 * share + (2 * share if checkpointing else 0))
    return Estimate(int(base_bytes + state + activations), int(disk), float(flops))
