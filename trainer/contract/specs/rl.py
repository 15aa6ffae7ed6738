"""What can be asked of the recipe `rl`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.forms import BudgetReward, CreditForm, GroupScale
from trainer.contract.specs.setting import Adapt, Precision, setting


class Algorithm(StrEnum):
    """How advantages become a policy update."""

    GRPO = "grpo"
    DAPO = "dapo"
    DR_GRPO = "dr_grpo"
    BNPO = "bnpo"
    CISPO = "cispo"
    PPO = "ppo"


class KlForm(StrEnum):
    """The estimator of the distance from the reference policy."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"


class KlPlace(StrEnum):
    """Where the distance from the reference policy counts."""

    LOSS = "loss"
    REWARD = "reward"


class OnAlarm(StrEnum):
    """What an alarm of reward hacking does."""

    PAUSE = "pause the run"
    TELL = "only tell"


class Generation(StrEnum):
    """Who writes the rollouts."""

    OWN = "own"
    SERVER = "server"


class ServerKind(StrEnum):
    """How a server takes new weights and says which ones it serves; see docs/endpoints.md."""

    STEPLENS = "Steplens"
    VLLM = "vLLM"


@dataclass(frozen=True, slots=True)
class RlSpec:
    """Improve a policy: it writes traces, the PRM scores every step, the verifier checks the answer, both pay."""

    model: str = setting(
        "", "The policy: a model made by sft, or a folder with a causal language model", group="Models"
    )
    prm: str = setting(
        "", "The PRM that scores every step, or FILE.py:function; empty = the outcome alone pays", group="Models"
    )
    adapt: Adapt = setting(Adapt.ALL, "Which weights of the policy are trained", group="Models")
    last_layers: int = setting(
        2, "How many last layers are trained when only last layers are", low=1, high=200, group="Models", advanced=True
    )
    lora_rank: int = setting(16, "Rank of the LoRA matrices", low=1, high=512, group="Models", advanced=True)

    prompts: int = setting(8, "Problems in one update", low=1, high=65536, group="Rollouts")
    traces: int = setting(8, "Traces the policy writes for each problem", low=1, high=1024, group="Rollouts")
    max_thinking: int = setting(
        512, "Most tokens of thinking; the decoder closes it there", low=1, high=131072, group="Rollouts", unit="tokens"
    )
    max_answer: int = setting(
        128, "Most tokens of the answer", low=1, high=131072, group="Rollouts", unit="tokens", advanced=True
    )
    temperature: float = setting(1.0, "Temperature of the rollouts", low=0.01, high=5.0, group="Rollouts")
    top_p: float = setting(1.0, "Nucleus of the rollouts", low=0.01, high=1.0, group="Rollouts", advanced=True)
    generation: Generation = setting(
        Generation.OWN,
        "Who writes: the trainer itself, or a server that confirms the new weights after every update",
        group="Rollouts",
        advanced=True,
    )
    server: str = setting("", "Address of that server: http://127.0.0.1:8378", group="Rollouts", advanced=True)
    server_kind: ServerKind = setting(
        ServerKind.STEPLENS,
        "What it is: `steplens-trainer serve-policy`, or vLLM with our worker extension",
        group="Rollouts",
        advanced=True,
    )
    server_key: str = setting(
        "", "Name of its key: in the keyring, or an environment variable", group="Rollouts", advanced=True
    )
    server_folder: str = setting(
        "",
        "Folder in which the server finds the new weights; empty = in the run's own folder",
        group="Rollouts",
        advanced=True,
    )
    server_minutes: float = setting(
        30.0, "Longest wait for one answer", low=0.01, high=10_000, group="Rollouts", advanced=True, unit="minutes"
    )
    server_ratio_cap: float = setting(
        2.0,
        "A token weighs as much more as the trainer finds it more probable than the server, up to this; 0 = no weights",
        low=0.0,
        high=1000.0,
        group="Rollouts",
        advanced=True,
    )

    credit: CreditForm = setting(
        CreditForm.MIN,
        "How step scores become rewards of tokens; `sum` pays wrong long traces more than right short ones",
        group="Rewards",
    )
    process_weight: float = setting(0.3, "Weight of the step scores", low=0.0, high=1.0, group="Rewards")
    outcome_weight: float = setting(0.7, "Weight of the verifier's outcome", low=0.0, high=1.0, group="Rewards")
    verifier: str = setting(
        "lenient",
        "Who compares the answer with the reference: strict, lenient, or FILE.py:function",
        group="Rewards",
        advanced=True,
    )
    reward: str = setting("", "A reward of your own beside these: FILE.py:function", group="Rewards", advanced=True)
    reward_weight: float = setting(
        0.0, "Weight of your own reward", low=-10.0, high=10.0, group="Rewards", advanced=True
    )
    budget_reward: BudgetReward = setting(
        BudgetReward.NONE, "What keeping to the thinking budget of the prompt pays", group="Rewards"
    )
    budget_low: int = setting(
        0,
        "Smallest budget drawn for a prompt; 0 = no budget in the prompt",
        low=0,
        high=131072,
        group="Rewards",
        unit="tokens",
        advanced=True,
    )
    budget_high: int = setting(
        0,
        "Largest budget drawn for a prompt; 0 = no budget in the prompt",
        low=0,
        high=131072,
        group="Rewards",
        unit="tokens",
        advanced=True,
    )
    budget_rate: float = setting(
        0.0,
        "What a token off the budget costs; 0 = as much as keeps a wrong answer below a right one",
        low=0.0,
        high=1.0,
        group="Rewards",
        advanced=True,
    )

    algorithm: Algorithm = setting(Algorithm.DAPO, "How advantages become an update")
    scale: GroupScale = setting(GroupScale.GROUP, "What the rewards of a group are divided by", advanced=True)
    updates: int = setting(100, "Policy updates", low=1, high=10_000_000)
    max_minutes: float = setting(0.0, "Stop after this many minutes; 0 = no limit", low=0, high=100_000)
    passes: int = setting(1, "Optimiser passes over each batch of rollouts", low=1, high=64, advanced=True)
    parts: int = setting(1, "Optimiser steps in one pass", low=1, high=1024, advanced=True)
    micro_batch: int = setting(
        0,
        "Traces in one forward pass; 0 = what suits the device; halved when memory runs out",
        low=0,
        high=65536,
        advanced=True,
    )
    rate: float = setting(1e-5, "Learning rate of the policy", low=0.0, high=1.0)
    value_rate: float = setting(1e-4, "Learning rate of PPO's value head", low=0.0, high=1.0, advanced=True)
    warmup: float = setting(0.0, "Share of the updates over which the rates rise", low=0.0, high=0.9, advanced=True)
    max_grad_norm: float = setting(
        1.0, "Longer gradients are cut to this norm; 0 = never", low=0.0, high=1e6, advanced=True
    )
    clip_low: float = setting(0.2, "How far the probability ratio may fall", low=0.0, high=1.0, advanced=True)
    clip_high: float = setting(0.28, "How far the probability ratio may rise", low=0.0, high=10.0, advanced=True)
    gamma: float = setting(1.0, "Discount a token", low=0.0, high=1.0, advanced=True)
    gae_lambda: float = setting(0.95, "PPO's lambda", low=0.0, high=1.0, advanced=True)
    value_weight: float = setting(0.5, "Weight of PPO's value loss", low=0.0, high=100.0, advanced=True)
    kl: KlForm = setting(KlForm.K3, "Estimator of the distance from the reference policy", advanced=True)
    kl_place: KlPlace = setting(KlPlace.LOSS, "Where that distance counts", advanced=True)
    kl_weight: float = setting(
        0.0, "Weight of the distance from the policy as it was; 0 = no reference policy", low=0.0, high=100.0
    )

    eval_every: int = setting(10, "Updates between two evaluations", low=1, high=1_000_000, group="Watching")
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
    eval_problems: int = setting(256, "Held-out problems in one evaluation", low=1, high=1_000_000, group="Watching")
    checkpoint_every: int = setting(10, "Updates between two checkpoints", low=1, high=1_000_000, group="Watching")
    keep_last: int = setting(2, "Checkpoints kept besides the best", low=1, high=100, group="Watching", advanced=True)
    keep_rollouts: int = setting(
        200, "Updates whose rollouts are kept; 0 = all", low=0, high=1_000_000, group="Watching", advanced=True
    )
    patience: int = setting(
        0,
        "Stop after this many evaluations without a better accuracy; 0 = never",
        low=0,
        high=10_000,
        group="Watching",
        advanced=True,
    )
    flags_as_reward: bool = setting(
        False,
        "Let a safety monitor's findings pay. A policy trained against a monitor learns to hide what it finds: "
        "afterwards the monitor sees nothing, and is worth nothing",
        group="Rewards",
        advanced=True,
    )
    on_alarm: OnAlarm = setting(OnAlarm.PAUSE, "What an alarm of reward hacking does", group="Watching")

    precision: Precision = setting(
        Precision.FP32, "Arithmetic; bf16 needs a device that has it", group="Device", advanced=True
    )
    gradient_checkpointing: bool = setting(False, "Spend time to save memory", group="Device", advanced=True)
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")
