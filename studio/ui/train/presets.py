"""Ready-made settings for a run: each is the recipe's defaults with a few values changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.contract.spec import Adapt, Value
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
SCORE_PRESETS = (Preset("Defaults", "The recipe's defaults"),)
PRESETS = {"prm": PRM_PRESETS, "score": SCORE_PRESETS}
