"""Folders of models that are damaged are refused with the folder, the reason and what to do; none answers at random."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import resources
from studio.errors import RunError
from studio.jobs.roles import kind_of_folder
from trainer.models.judge import p_correct
from trainer.models.load import ModelError, load_prm
from trainer.models.policies import load_policy

SHIPPED = Path(resources.__file__).parent / "models"
WEIGHTS = "model.safetensors"


def half(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def nothing(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def one_tensor_gone(folder: Path) -> None:
    kept = {name: weight for name, weight in load_file(folder / WEIGHTS).items() if "0.self_attn.q_proj" not in name}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})


def no_numbers(folder: Path) -> None:
    kept = load_file(folder / WEIGHTS)
    kept["model.norm.weight"][3] = torch.nan
    save_file(kept, folder / WEIGHTS, {"format": "pt"})


def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def config_contradicts_itself(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 96', '"hidden_size": 97'))


@pytest.mark.parametrize("kind", ["policy", "prm"])
@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (half, "damaged or incomplete"),
        (nothing, "damaged or incomplete"),
        (one_tensor_gone, r"no weights for model\.layers\.0\.self_attn\.q_proj\.weight; copy or download it again"),
        (no_numbers, "computes no numbers"),
        (config_is_a_list, "cannot load the model"),
        (config_contradicts_itself, r"hidden size \(97\)"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path: Path, kind: str, damage: Callable[[Path], None], why: str) -> None:
    folder = tmp_path / kind
    shutil.copytree(SHIPPED / kind, folder)
    damage(folder)
    with pytest.raises(ModelError, match=why) as refused:
        (load_policy if kind == "policy" else load_prm)(str(folder))
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_score_that_is_no_number_is_no_score() -> None:
    assert p_correct(np.array([[0.25, 0.75], [np.nan, np.nan]], np.float32), 3) == (0.75, None, None)


def test_the_kind_of_a_folder_whose_config_holds_no_settings(tmp_path: Path) -> None:
    config_is_a_list(tmp_path)
    with pytest.raises(RunError, match="holds no settings of a model"):
        kind_of_folder(tmp_path)


def test_a_prm_without_its_head_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "prm"
    shutil.copytree(SHIPPED / "prm", folder)
    kept = {name: weight for name, weight in load_file(folder / WEIGHTS).items() if not name.startswith("score")}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match=r"no weights for score\.bias and 1 more"):
        load_prm(str(folder))
