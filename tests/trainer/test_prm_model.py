"""The PRM itself: causal in every batch shape, the same in plain transformers, the same gradient in every cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForTokenClassification, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.trainer.runs import story_rows
from trainer.contract.spec import Adapt, AfterError, NeutralPolicy, PrmSpec
from trainer.data import CutCounts, TokenRow, label_rows, tokenise
from trainer.models.judge import class_probabilities
from trainer.models.learn import Learner
from trainer.models.load import Loaded, ModelError, load_for_training, load_prm
from trainer.models.prm import (
    PrmSettings,
    StepObjective,
    adapt,
    collate_labelled,
    collate_scoring,
    parameter_groups,
    spoken_of,
    trained,
)
from trainer.models.tiny import make_tiny
from trainer.placement import StepEncoder

ROWS = story_rows(24)
TEXTS = [text for row in ROWS for text in (row.problem, *row.steps)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with untied embeddings and grouped heads, as a folder."""
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = make_tiny(TEXTS, 0).tokenizer
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["tiny", "llama"])
def loaded(request: pytest.FixtureRequest, llama: Path) -> Loaded:
    source = "tiny" if request.param == "tiny" else str(llama)
    return load_for_training(source, PrmSettings(2), TEXTS, seed=0, with_language_head=False)


def encoder_of(loaded: Loaded, length: int = 256) -> StepEncoder:
    return StepEncoder(loaded.tokenizer, "\n", length)


def token_rows(loaded: Loaded, policy: NeutralPolicy = NeutralPolicy.POSITIVE) -> list[TokenRow]:
    return tokenise(label_rows(ROWS, policy, AfterError.MASK).rows, encoder_of(loaded), CutCounts())


def test_a_score_does_not_know_what_comes_later(loaded: Loaded):
    loaded.prm.eval()
    encode = encoder_of(loaded).encode
    whole = [encode(row.problem, row.steps) for row in ROWS]
    for budget in (1, 600, 100_000):  # every row alone, a few together, all in one padded pass
        together = class_probabilities(loaded.prm, whole, budget=budget)
        for row, parts in zip(ROWS[:6], together, strict=False):
            for step in range(len(row.steps)):
                start = encode(row.problem, row.steps[: step + 1])
                alone = class_probabilities(loaded.prm, [start], budget=1)[0]
                assert np.abs(alone[step] - parts[step]).max() < 1e-5


def test_training_reads_the_same_ids_and_places_as_scoring(loaded: Loaded):
    rows = token_rows(loaded)
    logits, _ = loaded.prm(collate_labelled(rows)[0])
    labelled = logits.softmax(-1).detach().numpy()
    encoded = [encoder_of(loaded).encode(t.row.problem, t.row.steps) for t in rows]
    scored = class_probabilities(loaded.prm, encoded, budget=500)
    expected = np.concatenate([part[row.ordinals] for part, row in zip(scored, rows, strict=True)])
    assert np.abs(labelled - expected).max() < 1e-5


@pytest.mark.parametrize("padding", ["right", "left"])
def test_plain_transformers_gives_the_same_scores(loaded: Loaded, tmp_path: Path, padding: str):
    loaded.prm.save(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    plain = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    rows = [encoder_of(loaded).encode(row.problem, row.steps) for row in ROWS[:5]]
    tokenizer.padding_side = padding
    batch = tokenizer.pad({"input_ids": [row.ids.tolist() for row in rows]}, return_tensors="pt")
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = plain(batch["input_ids"], attention_mask=batch["attention_mask"], position_ids=positions).logits
    ours = class_probabilities(load_prm(str(tmp_path)).prm, rows, budget=100_000)
    for index, row in enumerate(rows):
        shift = batch["input_ids"].shape[1] - len(row.ids) if padding == "left" else 0
        theirs = logits[index].softmax(-1).numpy()[row.ends + shift]
        assert np.abs(theirs - ours[index]).max() < 1e-6


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks it
@pytest.mark.parametrize("how", [Adapt.ALL, Adapt.LORA, Adapt.LAST_LAYERS])
def test_the_last_feed_forward_is_done_at_step_ends_alone_and_changes_nothing(llama: Path, how: Adapt):
    rows, seen, kept = None, [], []
    for whole in (False, True):
        loaded = load_for_training(str(llama), PrmSettings(2), (), seed=0, with_language_head=False)
        torch.manual_seed(1)
        adapt(loaded.prm, how, last_layers=1, rank=4)
        rows = token_rows(loaded)[:8]
        batch, targets = collate_labelled(rows)
        mlp = next(m for n, m in loaded.prm.named_modules() if n.endswith("layers.2.mlp"))
        mlp.down_proj.register_forward_hook(lambda _m, given, _out: seen.append(given[0].shape[:-1].numel()))
        logits, _ = loaded.prm(batch, whole=whole)
        torch.nn.functional.cross_entropy(logits, targets).backward()
        gradients = {n: w.grad.clone() for n, w in trained(loaded.prm) if w.grad is not None}
        kept.append((logits.detach(), gradients))
        with torch.no_grad():  # a pass of somebody else over the same body is whole again
            plain = loaded.prm.model(batch.ids).logits.flatten(0, 1)[batch.places]
        assert torch.allclose(plain, logits, atol=1e-5)
    assert seen[0] == len(batch.places) < batch.ids.numel()
    assert seen[1:] == [batch.ids.numel()] * 3
    (few, of_few), (every, of_every) = kept
    assert torch.allclose(few, every, atol=1e-6)
    assert set(of_few) == set(of_every)
    assert max(float((of_few[n] - of_every[n]).abs().max()) for n in of_few) < 1e-6


def test_the_loss_is_the_mean_cross_entropy_over_labels(loaded: Loaded):
    rows = token_rows(loaded)
    learner = learner_of(loaded)
    expected = []
    with torch.no_grad():
        for row in rows:
            logits = loaded.prm.model(torch.from_numpy(row.encoded.ids)[None]).logits[0].double()
            logs = logits.log_softmax(-1)[row.positions].numpy()
            expected += [-(target * log).sum() for target, log in zip(row.targets, logs, strict=True)]
    assert learner.learn(rows).loss == pytest.approx(float(np.mean(expected)), abs=1e-5)


def learner_of(
    loaded: Loaded,
    told: list[tuple[int, int]] | None = None,
    class_weights: np.ndarray | None = None,
    **settings: object,
) -> Learner:
    spec = PrmSpec(max_grad_norm=0.0, **settings)
    halved = told if told is not None else []
    groups = parameter_groups(
        loaded.prm, head_rate=spec.head_rate, body_rate=spec.body_rate, weight_decay=spec.weight_decay
    )
    return Learner(
        loaded.prm,
        StepObjective(loaded.prm, spec.language_loss, class_weights),
        groups,
        Accelerator(cpu=True),
        spec,
        check=lambda: None,
        told=lambda *sizes: halved.append(sizes),
    )


def gradient_of(llama: Path, rows: int = 12, fail_over: int | None = None, **settings: object) -> tuple[dict, list]:
    """The gradient of one batch; `fail_over`: passes of more rows run out of memory."""
    loaded = load_for_training(str(llama), PrmSettings(2), (), seed=0, with_language_head=True)
    told: list[tuple[int, int]] = []
    learner = learner_of(loaded, told, batch_size=rows, **settings)
    kept: dict[str, torch.Tensor] = {}
    forward = loaded.prm.body_states

    def small(ids: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if fail_over is not None and ids.shape[0] > fail_over:
            raise torch.OutOfMemoryError("simulated")
        return forward(ids, *rest)

    loaded.prm.body_states = small
    learner.optimiser.step = lambda: kept.update(
        {n: w.grad.clone() for n, w in trained(loaded.prm) if w.grad is not None}
    )
    learner.learn(token_rows(loaded)[:rows])
    return kept, told


@pytest.mark.parametrize("language_loss", [0.0, 0.3])
def test_the_gradient_is_the_same_however_the_batch_is_cut(llama: Path, language_loss: float):
    whole, _ = gradient_of(llama, micro_batch=12, language_loss=language_loss)
    for cut in ({"micro_batch": 1}, {"micro_batch": 5}, {"micro_batch": 0}, {"micro_batch": 12, "fail_over": 4}):
        parts, told = gradient_of(llama, language_loss=language_loss, **cut)
        assert set(parts) == set(whole)
        assert max(float((parts[n] - whole[n]).abs().max()) for n in whole) < 1e-6
        assert told == ([(6, 12), (3, 6)] if "fail_over" in cut else [])


def test_class_weights_weigh_the_loss_and_do_not_depend_on_the_cut(llama: Path):
    weights = np.array([2.5, 0.625])
    found = []
    for micro in (12, 5, 1):
        loaded = load_for_training(str(llama), PrmSettings(2), (), seed=0, with_language_head=False)
        rows = token_rows(loaded)[:12]
        learner = learner_of(loaded, class_weights=weights, micro_batch=micro, batch_size=12)
        kept: dict[str, torch.Tensor] = {}
        learner.optimiser.step = lambda loaded=loaded, kept=kept: kept.update(
            {n: w.grad.clone() for n, w in trained(loaded.prm) if w.grad is not None}
        )
        with torch.no_grad():
            logits = np.concatenate(
                [loaded.prm.model(torch.from_numpy(r.encoded.ids)[None]).logits[0, r.positions].double() for r in rows]
            )
        found.append((learner.learn(rows).loss, kept))
        targets = np.concatenate([row.targets for row in rows]).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    of_label = targets @ weights
    expected = -(of_label * (targets * logs).sum(1)).sum() / of_label.sum()
    assert [loss for loss, _ in found] == pytest.approx([expected] * 3, abs=1e-5)
    for _, gradient in found[1:]:
        assert max(float((gradient[n] - found[0][1][n]).abs().max()) for n in gradient) < 1e-6


def test_memory_that_never_suffices_ends_with_advice(llama: Path):
    with pytest.raises(MemoryError, match="lower max_length"):
        gradient_of(llama, fail_over=0)


def test_language_loss_is_that_of_the_causal_model_on_steps_not_known_wrong(llama: Path):
    loaded = load_for_training(str(llama), PrmSettings(2), (), seed=0, with_language_head=True)
    rows = [row for row in token_rows(loaded) if row.row.first_error != -1][:3]
    batch, _ = collate_labelled(rows)
    with torch.no_grad():
        states = loaded.prm.body_states(batch.ids)
        found = float(loaded.prm.language_loss(batch, states, spoken_of(rows, batch)))
        causal = LlamaForCausalLM.from_pretrained(llama)
        expected = 0.0
        for row in rows:
            ids = torch.from_numpy(row.encoded.ids)[None]
            labels = ids.clone()
            begins = [row.encoded.prompt, *(row.encoded.ends + 1)]
            labels[0, : begins[0]] = -100
            wrong = row.row.first_error
            assert wrong is not None
            labels[0, begins[wrong] : begins[wrong + 1]] = -100
            learned = int((labels[0, 1:] != -100).sum())
            assert 0 <= learned < row.length - begins[0]
            if learned:
                expected += float(causal(ids, labels=labels).loss) * learned
    assert expected > 0
    assert found == pytest.approx(expected, rel=1e-5)


def test_three_classes_count_neutral_as_correct(tmp_path: Path):
    loaded = load_for_training("tiny", PrmSettings(3), TEXTS, seed=0, with_language_head=False)
    batch = collate_scoring([encoder_of(loaded).encode("1 + 1\n", ("1 + 1 = 2",))])
    with torch.no_grad():
        classes = loaded.prm(batch)[0].softmax(-1)
    assert float(loaded.prm.probabilities(batch)) == pytest.approx(float(classes[0, 1] + classes[0, 2]), abs=1e-6)
    loaded.prm.save(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert load_prm(str(tmp_path)).prm.settings.classes == 3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks it
@pytest.mark.parametrize("how", list(Adapt))
def test_only_what_is_chosen_learns_and_the_saved_folder_scores_the_same(llama: Path, tmp_path: Path, how: Adapt):
    loaded = load_for_training(str(llama), PrmSettings(2), (), seed=0, with_language_head=False)
    before = {n: w.clone() for n, w in loaded.prm.model.model.state_dict().items()}
    adapt(loaded.prm, how, last_layers=1, rank=4)
    learner = learner_of(loaded, head_rate=1e-2, body_rate=1e-2)
    rows = token_rows(loaded)
    losses = [learner.learn(rows).loss for _ in range(5)]
    assert losses[-1] < losses[0]
    scores = class_probabilities(loaded.prm, [row.encoded for row in rows], budget=4000)
    loaded.prm.save(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "adapter").is_dir() == (how is Adapt.LORA)
    again = load_prm(str(tmp_path)).prm
    plain = class_probabilities(again, [row.encoded for row in rows], budget=4000)
    assert max(np.abs(a - b).max() for a, b in zip(scores, plain, strict=True)) < 1e-5
    changed = {n for n, w in again.model.model.state_dict().items() if not torch.allclose(w, before[n], atol=1e-7)}
    if how is Adapt.HEAD:
        assert not changed
    elif how is Adapt.LAST_LAYERS:
        assert changed
        assert all(name.startswith(("layers.2.", "norm.")) for name in changed)
    elif how is Adapt.LORA:
        assert changed
        assert all("_proj" in name for name in changed)
    else:
        assert len(changed) > 20


def test_a_body_that_reads_ahead_is_refused(tmp_path: Path):
    from transformers import BertConfig, BertForTokenClassification

    config = BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
    )
    BertForTokenClassification(config).save_pretrained(tmp_path)
    make_tiny(TEXTS, 0).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="reads later text"):
        load_for_training(str(tmp_path), PrmSettings(2), (), seed=0, with_language_head=False)


def test_what_is_no_model_is_named(tmp_path: Path):
    for source in (str(tmp_path), "nobody/there", str(tmp_path / "no.gguf")):
        with pytest.raises(ModelError, match=source):
            load_for_training(source, PrmSettings(2), (), seed=0, with_language_head=False)
    with pytest.raises(ModelError, match=str(tmp_path)):
        load_prm(str(tmp_path))


def test_a_causal_model_without_step_head_cannot_score(llama: Path):
    with pytest.raises(ModelError, match="no step head"):
        load_prm(str(llama))
