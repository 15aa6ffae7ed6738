"""The memory that an rl run is said to need, against the peak of a real worker on a 5 M Llama."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from studio.jobs.needs import RL_BASE_BYTES, sizes, weights_of
from studio.jobs.values import RunOrder
from studio.store.rows import Counts
from studio.workspace import Workspace
from tests.trainer.runs import demonstration_rows
from tests.trainer.test_prm_recipe import peak
from tests.trainer.test_rl_recipe import rl_run
from trainer.contract.records import Split
from trainer.models.tiny import make_tiny


def test_the_estimate_of_memory_is_near_the_measured_peak(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rows = demonstration_rows(24)
    tokenizer = make_tiny([text for row in rows for text in (row.problem, *row.steps)], 0).tokenizer
    config = LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=8,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    given = {
        "prompts": 4, "traces": 4, "max_thinking": 96, "max_answer": 16, "updates": 1, "eval_problems": 1,
        "micro_batch": 16, "threads": 2, "kl_weight": 0.01,
    }  # fmt: skip
    folder = rl_run(tmp_path / "run", rows, {"model": tmp_path / "model"}, **given)
    spec = folder.read_spec()
    order = RunOrder("rl", {**spec.parameters, "model": str(tmp_path / "model")})
    characters = sum(len(row.problem) for row in rows)
    counts = Counts(len(rows), len(rows), 0, characters, 200, {Split.TRAIN: len(rows)}, 0, 0, 0)
    with Workspace.open(tmp_path / "workspace", create=True) as workspace:
        weights = weights_of(workspace, order)
        assert weights is not None
        said = sizes(workspace, order, counts, weights)
        alone = sizes(workspace, replace(order, parameters={**order.parameters, "kl_weight": 0.0}), counts, weights)
    assert said is not None
    assert alone is not None
    assert said.memory_bytes - alone.memory_bytes == 4 * weights, "the reference policy is a copy"
    measured = peak("-m", "trainer", str(folder.path))
    assert measured - RL_BASE_BYTES > 200 << 20, "more than the libraries is at stake"
    assert said.memory_bytes == pytest.approx(measured, rel=0.15)
