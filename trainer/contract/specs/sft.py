"""What can be asked of the recipe `sft`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.forms import BudgetReward
from trainer.contract.specs.setting import Adapt, Precision, setting


class PromptForm(StrEnum):
    """How a problem is put to the policy."""

    PLAIN = "plain"
    CHAT = "chat template"


@dataclass(frozen=True, slots=True)
class SftSpec:
    """Teach a policy by demonstrations: problems with the thinking and the answer it should write."""

    model: str = setting(
        "tiny",
        "A local folder, a hub id, a GGUF file, or 'tiny': our own small Llama from scratch",
        group="Model",
    )
    adapt: Adapt = setting(Adapt.ALL, "Which weights are trained; 'head only' is the output layer", group="Model")
    last_layers: int = setting(
        2, "How many last layers are trained when only last layers are", low=1, high=200, group="Model", advanced=True
    )
    lora_rank: int = setting(16, "Rank of the LoRA matrices", low=1, high=512, group="Model", advanced=True)
    prompt: PromptForm = setting(
        PromptForm.PLAIN,
        "How the problem is put: on a line of its own, or in the chat template of the model's tokenizer",
        group="Demonstrations",
    )
    budget: BudgetReward = setting(
        BudgetReward.NONE,
        "Say a thinking budget in the prompt: the demonstration's own length (exact), or a bound above it (max)",
        group="Demonstrations",
    )
    drop_rated_wrong: bool = setting(
        True, "Leave out demonstrations with a step that people rated negative", group="Demonstrations"
    )
    max_length: int = setting(
        1024,
        "Longest demonstration in tokens; longer ones are cut, counted and shown",
        low=16,
        high=131072,
        group="Demonstrations",
    )
    drop_cut: bool = setting(
        False,
        "Leave out what is longer than max_length instead of cutting it: a cut demonstration has no answer",
        group="Demonstrations",
        advanced=True,
    )
    packing: bool = setting(
        True,
        "Lay short demonstrations on one line without padding; none sees another, the loss is the same",
        group="Demonstrations",
        advanced=True,
    )
    epochs: float = setting(1.0, "Passes over the training rows", low=0.01, high=1000)
    max_steps: int = setting(
        0, "Train for this many optimiser steps, whatever the epochs; 0 = as the epochs say", low=0, high=10_000_000
    )
    max_minutes: float = setting(0.0, "Stop after this many minutes of training; 0 = no limit", low=0, high=100_000)
    batch_size: int = setting(16, "Rows in one optimiser step", low=1, high=65536)
    micro_batch: int = setting(
        0,
        "Rows in one forward pass; 0 = what suits the device; halved when memory runs out, with the same gradient",
        low=0,
        high=65536,
        advanced=True,
    )
    rate: float = setting(2e-5, "Learning rate; a model from scratch needs about 3e-3", low=0.0, high=1.0)
    warmup: float = setting(0.03, "Share of the steps over which the rate rises", low=0.0, high=0.9, advanced=True)
    decay: float = setting(
        0.1, "Share of the steps over which the rate falls to zero at the end", low=0.0, high=1.0, advanced=True
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay of AdamW", low=0.0, high=1.0, advanced=True)
    max_grad_norm: float = setting(
        1.0, "Longer gradients are cut to this norm; 0 = never", low=0.0, high=1e6, advanced=True
    )
    eval_every: int = setting(50, "Optimiser steps between two validations", low=1, high=1_000_000, group="Watching")
    eval_sets: str = setting(
        "",
        "Held-out sets measured apart, by project, split or difficulty (steps): easy: difficulty=..2; hard: "
        "difficulty=3..; exam: project=NAME, split=test",
        group="Watching",
        advanced=True,
    )
    best_by: str = setting(
        "",
        "The set that decides which weights are best and when to stop; empty = all validation rows",
        group="Watching",
        advanced=True,
    )
    checkpoint_every: int = setting(
        50, "Optimiser steps between two checkpoints", low=1, high=1_000_000, group="Watching"
    )
    keep_last: int = setting(2, "Checkpoints kept besides the best", low=1, high=100, group="Watching", advanced=True)
    patience: int = setting(
        0,
        "Stop after this many validations without a lower loss; 0 = never",
        low=0,
        high=10_000,
        group="Watching",
        advanced=True,
    )
    precision: Precision = setting(
        Precision.FP32, "Arithmetic; bf16 needs a device that has it", group="Device", advanced=True
    )
    gradient_checkpointing: bool = setting(False, "Spend time to save memory", group="Device", advanced=True)
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")
