"""What can be asked of the recipe `prm`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import Adapt, Convention, Precision, setting


class NeutralPolicy(StrEnum):
    """What a neutral rating teaches the PRM."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    IGNORE = "ignore"
    SOFT = "soft 0.5"
    THREE_CLASSES = "three classes"


class AfterError(StrEnum):
    """What steps after the first negative teach."""

    MASK = "mask"
    KEEP = "keep labels"
    REPAIRS = "learn repairs"


class Balance(StrEnum):
    """How much right and wrong steps weigh in the loss."""

    NONE = "none"
    WEIGHTS = "weights"


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """What PRM and ORM have in common: a causal language model with a head that reads ends of steps."""

    model: str = setting(
        "tiny",
        "A local folder, a hub id, a GGUF file, or 'tiny': our own small Llama from scratch",
        group="Model",
    )
    adapt: Adapt = setting(Adapt.ALL, "Which weights of the body are trained", group="Model")
    last_layers: int = setting(
        2,
        "How many last layers are trained when only last layers are",
        low=1,
        high=200,
        group="Model",
        advanced=True,
    )
    lora_rank: int = setting(16, "Rank of the LoRA matrices", low=1, high=512, group="Model", advanced=True)
    balance: Balance = setting(
        Balance.NONE,
        "'weights' lets every class weigh the same in the loss; the scores then lean to the rarer class, "
        "which the threshold makes good",
        group="Labels",
        advanced=True,
    )
    convention: Convention = setting(
        Convention.TRL,
        "How steps stand in the tokens: TRL reads a separator, Qwen <extra_0> in a chat, Math-Shepherd the tag ки, "
        "RLHFlow a turn of + or - behind every step",
        group="Labels",
        advanced=True,
    )
    placeholder: str = setting(
        "",
        "The tag behind every step in the Qwen and Math-Shepherd conventions; empty = their own",
        group="Labels",
        advanced=True,
    )
    separator: str = setting(
        "\n", "Text set after every step (TRL); its last token carries the label", group="Labels", advanced=True
    )
    max_length: int = setting(
        1024,
        "Longest row in tokens; a row that loses labels to the cut is counted and shown",
        low=16,
        high=131072,
        group="Labels",
    )
    epochs: float = setting(1.0, "Passes over the training rows", low=0.01, high=1000)
    max_steps: int = setting(
        0, "Train for this many optimiser steps, whatever the epochs; 0 = as the epochs say", low=0, high=10_000_000
    )
    max_minutes: float = setting(0.0, "Stop after this many minutes of training; 0 = no limit", low=0, high=100_000)
    batch_size: int = setting(8, "Rows in one optimiser step", low=1, high=65536)
    micro_batch: int = setting(
        0,
        "Rows in one forward pass; 0 = what suits the device; halved when memory runs out, with the same gradient",
        low=0,
        high=65536,
        advanced=True,
    )
    head_rate: float = setting(1e-3, "Learning rate of the step head", low=0.0, high=1.0)
    body_rate: float = setting(3e-4, "Learning rate of the body", low=0.0, high=1.0)
    head_first: float = setting(
        0.0, "Share of the steps, at the start, in which only the head learns", low=0.0, high=1.0, advanced=True
    )
    warmup: float = setting(0.03, "Share of the steps over which the rates rise", low=0.0, high=0.9, advanced=True)
    decay: float = setting(
        0.1, "Share of the steps over which the rates fall to zero at the end", low=0.0, high=1.0, advanced=True
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay of AdamW", low=0.0, high=1.0, advanced=True)
    max_grad_norm: float = setting(
        1.0, "Longer gradients are cut to this norm; 0 = never", low=0.0, high=1e6, advanced=True
    )
    language_loss: float = setting(
        0.0,
        "Weight of the next-token loss beside the step loss; helps a model made from scratch",
        low=0.0,
        high=10.0,
        advanced=True,
    )
    keep_language_head: bool = setting(
        False,
        "Keep the model's language head beside the step head: one trunk that writes and judges",
        group="Model",
        advanced=True,
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
        "Stop after this many validations without a better AUC; 0 = never",
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


@dataclass(frozen=True, slots=True)
class PrmSpec(RewardSpec):
    """Train a process reward model: a causal language model with a head that reads every step's end."""

    neutral: NeutralPolicy = setting(NeutralPolicy.POSITIVE, "What a neutral rating teaches", group="Labels")
    after_error: AfterError = setting(AfterError.MASK, "What steps after the first negative teach", group="Labels")
