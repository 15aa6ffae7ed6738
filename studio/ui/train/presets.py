"""Ready-made settings for a run: each is the recipe's defaults with a few values changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.contract.spec import Adapt, Value
from trainer.contract.specs.autolabel import Hardness, LabelMethod
from trainer.contract.specs.generate import DifficultyBy, Marked, TellBudget
from trainer.contract.specs.monitor import MonitorTask
from trainer.contract.specs.route import RouteTarget, RouteTask
from trainer.contract.specs.search import Compute, Strategy
from trainer.reasoning.demonstrations import DEMONSTRATION_PRESET
from trainer.reasoning.stories import STORY_PRESET


@dataclass(frozen=True, slots=True)
class Preset:
    """A name, what it is for, and the parameters that differ from the defaults."""

    name: str
    about: str
    values: Mapping[str, Value] = field(default_factory=dict)


PRM_PRESETS = (
    Preset("Defaults", "The recipe's defaults"),
    Preset(
        "Stories, 2 minutes",
        "Our own small Llama from scratch on the arithmetic stories; choose the stories' project",
        STORY_PRESET,
    ),
    Preset(
        "PRM on a Hugging Face model (LoRA)",
        "A pretrained model with LoRA; give a folder or a hub id under Model",
        {
            "model": "HuggingFaceTB/SmolLM2-135M",
            "adapt": Adapt.LORA,
            "max_length": 1024,
            "body_rate": 2e-4,
            "head_rate": 1e-3,
            "epochs": 2.0,
            "batch_size": 16,
            "micro_batch": 4,
            "eval_every": 25,
            "checkpoint_every": 25,
        },
    ),
    Preset(
        "Quick look",
        "Half a minute, to see whether rows and settings work together",
        {"model": "tiny", "max_minutes": 0.5, "eval_every": 10, "checkpoint_every": 50, "max_length": 512},
    ),
)
ORM_PRESETS = (
    Preset("Defaults", "The recipe's defaults"),
    Preset(
        "Stories, 2 minutes",
        "Our own small Llama from scratch on the arithmetic stories; choose the stories' project",
        STORY_PRESET,
    ),
)
SFT_PRESETS = (
    Preset("Defaults", "The recipe's defaults"),
    Preset(
        "Arithmetic demonstrations",
        "Our own small Llama from scratch on short arithmetic, three to five minutes; the project is made by "
        "“steplens sample --demonstrations”",
        DEMONSTRATION_PRESET,
    ),
    Preset(
        "A Hugging Face model (LoRA)",
        "A pretrained model with LoRA; give a folder or a hub id under Model",
        {
            "model": "HuggingFaceTB/SmolLM2-135M",
            "adapt": Adapt.LORA,
            "rate": 2e-4,
            "epochs": 2.0,
            "micro_batch": 4,
            "drop_cut": True,
        },
    ),
    Preset(
        "Quick look",
        "Half a minute, to see whether rows and settings work together",
        {"model": "tiny", "rate": 3e-3, "max_minutes": 0.5, "eval_every": 10, "max_length": 512},
    ),
)
RL_PRESETS = (
    Preset("Defaults", "The recipe's defaults, for a pretrained policy"),
    Preset(
        "Our small policy",
        "For a policy taught by “Arithmetic demonstrations”; choose it, and a PRM of the same problems",
        {
            "prompts": 32,
            "traces": 8,
            "max_thinking": 64,
            "max_answer": 16,
            "rate": 1e-3,
            "updates": 60,
            "eval_every": 10,
            "checkpoint_every": 20,
            "threads": 1,
        },
    ),
    Preset("Quick look", "Three updates, to see whether policy, PRM and problems work together", {"updates": 3}),
)
AUTOLABEL_PRESETS = (
    Preset("Rule", "Exact checks of arithmetic and algebra: no model needed"),
    Preset(
        "Rollouts, soft",
        "From every step, eight rollouts; the share that reaches the answer",
        {"method": LabelMethod.ROLLOUTS, "hardness": Hardness.SOFT},
    ),
    Preset(
        "First errors by binary search",
        "A few rollouts a trace find the first step from which the answer is out of reach",
        {"method": LabelMethod.SEARCH},
    ),
    Preset(
        "Rule and rollouts agree",
        "Steps keep a label where the two do not contradict each other",
        {"method": LabelMethod.CONSENSUS},
    ),
)
SCORE_PRESETS = (Preset("Defaults", "The recipe's defaults"),)
MONITOR_PRESETS = (
    Preset("Exact checks", "What needs no model: contradictions, guesses told as certain, work on the test"),
    Preset(
        "Learn from reviews",
        "A classifier learns from the flags that people confirmed and rejected",
        {"task": MonitorTask.TRAIN},
    ),
)
GENERATE_PRESETS = (
    Preset("Defaults", "The recipe's defaults"),
    Preset(
        "By difficulty",
        "The policy judges every problem itself; a hard one gets more of the tokens for thinking",
        {"difficulty_by": DifficultyBy.POLICY},
    ),
    Preset(
        "A policy that marks no thinking",
        "A model made elsewhere that answers at once: thinking is opened for it, and the prompt states both budgets",
        {"thinking": Marked.OPENED, "tell_budget": TellBudget.ALWAYS},
    ),
)
SEARCH_PRESETS = (
    Preset("Best of 8", "Eight whole traces; the one whose weakest step is the best answers"),
    Preset(
        "Majority, no PRM",
        "Self-consistency: the answer that most traces give",
        {"strategy": Strategy.SELF_CONSISTENCY},
    ),
    Preset("Beam, low", "Four candidates a round", {"strategy": Strategy.BEAM, "compute": Compute.LOW}),
    Preset("DVTS, high", "Eight subtrees that do not compete", {"strategy": Strategy.DVTS, "compute": Compute.HIGH}),
    Preset("MCTS, high", "32 walks led by the PRM", {"strategy": Strategy.MCTS, "compute": Compute.HIGH}),
)
ROUTE_PRESETS = (
    Preset("Answer", "The fast model where it is sure, the reasoning model where it is not"),
    Preset(
        "Learn a router",
        "Both models answer problems whose answer is known; from that it learns when to escalate",
        {"task": RouteTask.LEARN},
    ),
    Preset(
        "Half the cost",
        "The most right answers for half of what always asking the reasoning model costs; with a learned router",
        {"target": RouteTarget.COST, "target_value": 0.5},
    ),
)
PRESETS = {
    "prm": PRM_PRESETS,
    "orm": ORM_PRESETS,
    "sft": SFT_PRESETS,
    "rl": RL_PRESETS,
    "generate": GENERATE_PRESETS,
    "search": SEARCH_PRESETS,
    "route": ROUTE_PRESETS,
    "autolabel": AUTOLABEL_PRESETS,
    "score": SCORE_PRESETS,
    "monitor": MONITOR_PRESETS,
}
