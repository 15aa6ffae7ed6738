"""PRMs in each convention: made elsewhere they score as their makers say, made here they train and score alike."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Model,
)

from tests.trainer.runs import ended, live_events, prm_run, score_run, story_rows
from tests.unit.like_models import like_llama3, like_mistral, like_qwen
from tests.unit.test_placement import ORIGINALS
from trainer.contract import events
from trainer.contract.records import InputRow
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.specs.setting import Convention
from trainer.models.load import ModelError, load_for_training, load_prm
from trainer.models.prm import PrmSettings
from trainer.recipes import prm, score
from trainer.runtime.worker import run_attempt

replace = msgspec.structs.replace
SIZES = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "initializer_range": 0.2,
}
ROWS = [replace(row, steps=tuple(step.replace("\n", " ") for step in row.steps)) for row in story_rows(60)]


class QwenReward(nn.Module):
    """The head of the Qwen2.5-Math-PRM card's modelling code, written out: two layers on the last hidden state."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.model = Qwen2Model(config)
        hidden = config.hidden_size
        self.score = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.score(self.model(ids).last_hidden_state)


def saved_elsewhere(folder: Path, convention: Convention) -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """A random PRM as its makers would publish it: their architecture and weights' names, not a word of ours."""
    from safetensors.torch import save_file

    torch.manual_seed(5)
    if convention is Convention.QWEN:
        tokenizer = like_qwen()
        config = Qwen2Config(vocab_size=len(tokenizer), **SIZES)
        config.architectures = ["Qwen2ForProcessRewardModel"]
        model: nn.Module = QwenReward(config)
        folder.mkdir()
        config.save_pretrained(folder)
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    else:
        tokenizer = like_mistral() if convention is Convention.MATH_SHEPHERD else like_llama3()
        kinds = {
            Convention.MATH_SHEPHERD: (MistralForCausalLM, MistralConfig),
            Convention.RLHFLOW: (LlamaForCausalLM, LlamaConfig),
            Convention.TRL: (LlamaForTokenClassification, LlamaConfig),
        }
        kind, config_of = kinds[convention]
        model = kind(config_of(vocab_size=len(tokenizer), **SIZES))
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval(), tokenizer


def as_published(convention: Convention, model: nn.Module, tokenizer: PreTrainedTokenizerFast, row: InputRow) -> list:
    """P(correct) of every step by the code that came with such a model."""
    if convention is Convention.TRL:
        ids, places = [tokenizer.bos_token_id, *tokenizer.encode(row.problem, add_special_tokens=False)], []
        for step in row.steps:
            ids += tokenizer.encode(step, add_special_tokens=False) + tokenizer.encode("\n", add_special_tokens=False)
            places.append(len(ids) - 1)
    else:
        ids, places = ORIGINALS[convention](tokenizer, row.problem, row.steps)
    with torch.no_grad():
        out = model(torch.tensor([ids]))
        logits = (out if convention is Convention.QWEN else out.logits)[0, places].double()
    if convention in (Convention.TRL, Convention.QWEN):
        return logits.softmax(-1)[:, 1].tolist()
    pair = [tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]]  # candidate tokens: good first
    return logits[:, pair].softmax(-1)[:, 0].tolist()


def scored(folder: RunFolder) -> dict[str, tuple[float | None, ...]]:
    assert run_attempt(folder.path, lambda _: score.run) == 0, ended(folder).traceback
    return {record.row: record.values for record in read_records(folder.records)[0]}


def notices(folder: RunFolder) -> dict[str, events.Notice]:
    return {event.code: event for event in live_events(folder) if isinstance(event, events.Notice)}


@pytest.mark.parametrize("convention", list(Convention))
def test_a_prm_made_elsewhere_scores_in_its_own_convention(convention: Convention, tmp_path: Path):
    model, tokenizer = saved_elsewhere(tmp_path / "model", convention)
    rows = [replace(row, votes=None) for row in ROWS[:8]]
    said = {"convention": convention.value} if convention.speaks else {}
    folder = score_run(tmp_path / "run", tmp_path / "model", rows, **said)
    values = scored(folder)
    for row in rows:
        expected = as_published(convention, model, tokenizer, row)
        assert values[row.id] == pytest.approx(expected, abs=2e-5)
        assert np.std(expected) > 1e-3  # the places matter
    assert convention.value in notices(folder)["settings_assumed"].message


def test_what_a_model_cannot_be_read_as_is_said(tmp_path: Path):
    saved_elsewhere(tmp_path / "speaks", Convention.RLHFLOW)
    saved_elsewhere(tmp_path / "heads", Convention.TRL)
    with pytest.raises(ModelError, match=r"no step head.*Math-Shepherd or RLHFlow"):
        load_prm(str(tmp_path / "speaks"))
    with pytest.raises(ModelError, match="cannot be read in the Math-Shepherd convention: 'ки' is"):
        load_prm(str(tmp_path / "speaks"), convention=Convention.MATH_SHEPHERD)
    with pytest.raises(ModelError, match="has a step head"):
        load_prm(str(tmp_path / "heads"), convention=Convention.RLHFLOW)
    with pytest.raises(ModelError, match="'<extra_0>' is"):
        load_prm(str(tmp_path / "heads"), convention=Convention.QWEN)
    settings = PrmSettings(3, convention=Convention.RLHFLOW)
    with pytest.raises(ModelError, match="right and wrong"):
        load_for_training(str(tmp_path / "speaks"), settings, (), seed=0, with_language_head=False)


def policy(folder: Path, convention: Convention) -> Path:
    """A random causal language model with a tokenizer of the convention."""
    torch.manual_seed(6)
    tokenizer = {
        Convention.TRL: like_llama3,
        Convention.QWEN: like_qwen,
        Convention.MATH_SHEPHERD: like_mistral,
        Convention.RLHFLOW: like_llama3,
    }[convention]()
    kind, config = {
        Convention.QWEN: (Qwen2ForCausalLM, Qwen2Config),
        Convention.MATH_SHEPHERD: (MistralForCausalLM, MistralConfig),
    }.get(convention, (LlamaForCausalLM, LlamaConfig))
    kind(config(vocab_size=len(tokenizer), **SIZES | {"initializer_range": 0.02})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("convention", list(Convention))
def test_a_prm_trains_in_every_convention_and_scores_what_it_learned(convention: Convention, tmp_path: Path):
    source = policy(tmp_path / "policy", convention)
    settings = {"model": str(source), "max_steps": 8, "eval_every": 4, "max_length": 1024, "batch_size": 64}
    folder = prm_run(tmp_path / "run", ROWS, convention=convention.value, **settings)
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    losses = [
        event.values["loss"]
        for event in live_events(folder)
        if isinstance(event, events.Metrics) and event.split == "train"
    ]
    assert losses[-1] < losses[0]
    loaded = load_prm(str(folder.model))
    assert loaded.prm.settings.convention is convention
    kind = type(loaded.prm.model).__name__
    assert kind.endswith("CausalLM" if convention.speaks else "TokenClassification")
    assert f"Convention: **{convention.value}**" in (folder.model / "MODEL_CARD.md").read_text()
    best = ended(folder).summary["best_step"]
    shown = {e.row: e.scores for e in live_events(folder) if isinstance(e, events.Example) and e.step == best}
    again = score_run(tmp_path / "again", folder.model, [replace(row, votes=None) for row in ROWS if row.id in shown])
    values = scored(again)
    assert "settings_assumed" not in notices(again)
    assert len(values) == len(shown) > 2
    heat = loaded.prm.settings.temperature
    for name, seen in shown.items():  # what validation saw of these weights, but for the temperature
        p = np.array(seen, np.float64)
        assert values[name] == pytest.approx(1 / (1 + ((1 - p) / p) ** (1 / heat)), abs=1e-4)


def test_a_spoken_prm_learns_the_two_tokens_alone(tmp_path: Path):
    """Math-Shepherd: the loss is the two-way cross-entropy of + and - at the tag, unshifted."""
    source = policy(tmp_path / "policy", Convention.MATH_SHEPHERD)
    folder = prm_run(
        tmp_path / "run",
        ROWS,
        convention="Math-Shepherd",
        model=str(source),
        max_steps=1,
        max_length=1024,
        batch_size=60,
    )
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    said = next(e for e in live_events(folder) if isinstance(e, events.Metrics) and e.split == "train")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source), like_mistral()
    good, bad = tokenizer.encode("+ -")[1:]
    losses = []
    for row in ROWS:
        if row.split != "train":
            continue
        ids, places = ORIGINALS[Convention.MATH_SHEPHERD](tokenizer, row.problem, row.steps)
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0, places][:, [bad, good]].double().log_softmax(-1)
        over = False
        for log, vote in zip(logs, row.votes or (), strict=True):
            if vote is not None and not over:
                losses.append(-float(log[int(vote.negative < 0.5)]))
                over = vote.negative > 0.5
    assert said.values["loss"] == pytest.approx(np.mean(losses), abs=1e-5)


def test_a_trunk_that_writes_and_judges_is_one_folder(tmp_path: Path):
    source = policy(tmp_path / "policy", Convention.TRL)
    given = {"model": str(source), "adapt": "head only", "keep_language_head": True, "max_steps": 3, "max_length": 1024}
    folder = prm_run(tmp_path / "run", ROWS, **given)
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    before, after = (AutoModelForCausalLM.from_pretrained(path).eval() for path in (source, folder.model))
    ids = torch.arange(40)[None] % 300
    with torch.no_grad():
        assert torch.equal(before(ids).logits, after(ids).logits)
    values = scored(score_run(tmp_path / "score", folder.model, [replace(row, votes=None) for row in ROWS[:3]]))
    assert all(value is not None for row in values.values() for value in row)


def test_the_head_learns_first_and_alone(tmp_path: Path):
    source = policy(tmp_path / "policy", Convention.TRL)
    given = {"model": str(source), "max_steps": 4, "head_first": 0.5, "checkpoint_every": 1, "keep_last": 9}
    folder = prm_run(tmp_path / "run", ROWS, max_length=1024, **given)
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    from trainer.runtime import checkpoint

    weights = [checkpoint.read(folder.checkpoints / checkpoint.name_of(step)).weights() for step in (1, 2, 3, 4)]
    moved = [{n for n in a if not torch.equal(a[n], b[n])} for a, b in itertools.pairwise(weights)]
    assert moved[0] == {"model.score.weight", "model.score.bias"}
    assert len(moved[1]) > 10  # step 3 is the first of the second stage
    start = AutoModelForCausalLM.from_pretrained(source).model.layers[0].mlp.up_proj.weight
    assert torch.equal(start, weights[1]["model.model.layers.0.mlp.up_proj.weight"])


@pytest.mark.parametrize("stage", [1, 3])
def test_both_stages_resume_exactly(stage: int, tmp_path: Path):
    source = policy(tmp_path / "policy", Convention.RLHFLOW)
    given = {"model": str(source), "max_steps": 4, "head_first": 0.5, "checkpoint_every": 1, "keep_last": 9}
    given |= {"convention": "TRL" if stage == 1 else "RLHFlow", "max_length": 1024, "balance": "weights"}
    folder = prm_run(tmp_path / "run", ROWS, **given)
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    from trainer.runtime import checkpoint

    whole = sha256_of_folder(folder.model)
    shutil.rmtree(folder.model)
    for step in range(stage + 1, 5):
        shutil.rmtree(folder.checkpoints / checkpoint.name_of(step))
    assert run_attempt(folder.path, lambda _: prm.run) == 0, ended(folder).traceback
    assert any(isinstance(e, events.Resumed) and e.from_step == stage for e in live_events(folder))
    assert sha256_of_folder(folder.model) == whole


def test_language_loss_goes_with_trl_alone(tmp_path: Path):
    source = policy(tmp_path / "policy", Convention.RLHFLOW)
    folder = prm_run(tmp_path / "run", ROWS, model=str(source), convention="RLHFlow", language_loss=0.5, max_steps=1)
    assert run_attempt(folder.path, lambda _: prm.run) == 1
    assert "set language_loss to 0" in ended(folder).message
