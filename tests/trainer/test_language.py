"""The policy's loss and gradient against other ways to compute them; packing, adapters, where models come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from trainer.contract.spec import Adapt, SftSpec
from trainer.models import language as language_module
from trainer.models.language import DemonstrationObjective, Language, collate
from trainer.models.learn import Learner, ParameterGroup, padded_passes, trained
from trainer.models.load import ModelError
from trainer.models.policies import adapt_policy, checkpoint_gradients, keeps_rows_apart, load_policy
from trainer.models.tiny import make_tokenizer
from trainer.prompts import Demonstration, DemonstrationCounts, Demonstrator, Prompts, PromptSettings, packed_passes
from trainer.reasoning.budget import BudgetReward
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations

ROWS = [demonstration_row(made, number) for number, made in enumerate(make_demonstrations(24, seed=3))]
TOKENIZER = make_tokenizer(text for row in ROWS for text in (row.problem, row.response))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped heads and a head of its own, as a folder."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def demonstrations() -> list[Demonstration]:
    prompts = Prompts(TOKENIZER, PromptSettings())
    maker = Demonstrator(prompts, 256, drop_rated_wrong=True, drop_cut=False, seed=0)
    return maker.make(ROWS, DemonstrationCounts())


def plain_loss(model: torch.nn.Module, rows: list[Demonstration]) -> torch.Tensor:
    """Row by row, all logits in float64: the mean over all learned tokens."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in rows:
        ids = torch.from_numpy(row.ids)
        logits = model(input_ids=ids[None]).logits[0].double()
        total = total + F.cross_entropy(logits[row.prompt - 1 : -1], ids[row.prompt :], reduction="sum")
        count += len(ids) - row.prompt
    return total / count


def learner_of(language: Language, *, packing: bool = False, told: list | None = None, **settings: object) -> Learner:
    spec = SftSpec(**({"max_grad_norm": 0.0} | settings))
    group = ParameterGroup("learning_rate", tuple(w for _, w in trained(language)), 0.0)
    return Learner(
        language,
        DemonstrationObjective(language, packing=packing),
        [group],
        Accelerator(cpu=True),
        spec,
        check=lambda: None,
        told=lambda *sizes: (told if told is not None else []).append(sizes),
        passes=packed_passes if packing else padded_passes,
    )


def gradient_of(folder: Path, rows: list[Demonstration], *, packing: bool = False, **settings: object) -> tuple:
    """(loss, gradient by name) of one batch as the learner adds it up."""
    language = load_policy(str(folder)).language
    learner = learner_of(language, packing=packing, **settings)
    kept = {}
    learner.optimiser.register_step_pre_hook(
        lambda *_: kept.update({n: w.grad.clone() for n, w in language.model.named_parameters()}) or None
    )
    report = learner.learn(rows)
    assert report.updated
    assert report.tokens == sum(row.length for row in rows)
    return report, kept


def assert_close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], tolerance: float) -> None:
    assert set(first) == set(second)
    for name in first:
        assert (first[name] - second[name]).abs().max() <= tolerance * (1 + second[name].abs().max()), name


def test_loss_and_gradient_are_those_of_all_logits_in_float64(llama: Path, demonstrations: list[Demonstration]):
    model = AutoModelForCausalLM.from_pretrained(llama).double()
    expected = plain_loss(model, demonstrations)
    expected.backward()
    report, gradient = gradient_of(llama, demonstrations, batch_size=24)
    assert report.loss == pytest.approx(float(expected.detach()), abs=1e-6)
    assert_close(gradient, {name: weight.grad.float() for name, weight in model.named_parameters()}, 1e-6)
    hits = total = 0
    for row in demonstrations:
        best = model(input_ids=torch.from_numpy(row.ids)[None]).logits[0].argmax(-1)
        hits += int((best[row.prompt - 1 : -1] == torch.from_numpy(row.ids)[row.prompt :]).sum())
        total += row.learned
    assert report.accuracy == pytest.approx(hits / total)


@pytest.mark.parametrize("chunk", [1, 7 * len(TOKENIZER)])
def test_chunks_of_any_size_give_the_same(llama: Path, demonstrations: list[Demonstration], monkeypatch, chunk: int):
    whole, gradient = gradient_of(llama, demonstrations, batch_size=24)
    monkeypatch.setattr(language_module, "CHUNK_NUMBERS", chunk)
    report, again = gradient_of(llama, demonstrations, batch_size=24)
    assert report.loss == pytest.approx(whole.loss, rel=1e-6)
    assert_close(again, gradient, 1e-6)


def test_no_tensor_of_positions_by_vocabulary_is_made(llama: Path, demonstrations: list[Demonstration], monkeypatch):
    monkeypatch.setattr(language_module, "CHUNK_NUMBERS", 4 * len(TOKENIZER))
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else (out,):
                if isinstance(tensor, torch.Tensor) and tensor.dim() == 2 and tensor.shape[1] == len(TOKENIZER):
                    largest = max(largest, tensor.shape[0])
            return out

    language = load_policy(str(llama)).language.train()
    with Watch():
        language(collate(demonstrations)).loss.backward()
    assert 0 < largest <= max(4, language.model.config.hidden_size)


def test_a_gradient_of_a_gradient_scale_reaches_states_head_and_bias():
    torch.manual_seed(0)
    states, weight, bias = (torch.randn(shape, dtype=torch.float64) for shape in ((6, 4), (9, 4), (9,)))
    targets = torch.tensor([0, 3, 8, 8, 2, 5])
    inputs = [part.requires_grad_() for part in (states, weight, bias)]

    def summed(*parts: torch.Tensor) -> torch.Tensor:
        return language_module._ChunkedLoss.apply(*parts, targets, True)[0] * 0.3

    assert torch.autograd.gradcheck(summed, inputs)
    expected = F.cross_entropy(states @ weight.T + bias, targets, reduction="sum") * 0.3
    assert float(summed(*inputs).detach()) == pytest.approx(float(expected.detach()), abs=1e-12)


def test_eight_passes_of_one_row_are_one_pass_of_eight(llama: Path, demonstrations: list[Demonstration]):
    rows = demonstrations[:8]
    ones, first = gradient_of(llama, rows, batch_size=8, micro_batch=1)
    eight, second = gradient_of(llama, rows, batch_size=8, micro_batch=8)
    assert ones.loss == pytest.approx(eight.loss, abs=1e-6)
    assert_close(first, second, 1e-6)
    assert len({row.learned for row in rows}) > 2  # a mean of means would differ


def test_packed_rows_have_the_loss_and_gradient_of_rows_alone(llama: Path, demonstrations: list[Demonstration]):
    batch = collate(demonstrations, packing=True)
    assert len(batch.ids) < len(demonstrations)
    for settings in ({}, {"micro_batch": 5}, {"micro_batch": 24}):
        packed, first = gradient_of(llama, demonstrations, packing=True, batch_size=24, **settings)
        alone, second = gradient_of(llama, demonstrations, batch_size=24, micro_batch=1)
        assert packed.loss == pytest.approx(alone.loss, abs=1e-5)
        assert_close(first, second, 1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_stay_apart_whatever_the_attention(
    llama: Path, demonstrations: list[Demonstration], attention: str
):
    model = AutoModelForCausalLM.from_pretrained(llama, attn_implementation=attention)
    language = Language(model, PromptSettings()).eval()
    assert keeps_rows_apart(language)
    batch = collate(demonstrations, packing=True)
    with torch.no_grad():
        states = language.states(batch).flatten(0, 1)[batch.places]
        alone = [language.states(collate([row]))[0, row.prompt - 1 : -1] for row in demonstrations]
    # lines hold the rows in an order of their own: find each row by its tokens
    ends = (torch.nonzero(batch.targets == TOKENIZER.eos_token_id).flatten() + 1).tolist()
    begins = [0, *ends[:-1]]
    by_tokens = {tuple(batch.targets[a:b].tolist()): states[a:b] for a, b in zip(begins, ends, strict=True)}
    for row, expected in zip(demonstrations, alone, strict=True):
        assert torch.allclose(by_tokens[tuple(row.ids[row.prompt :].tolist())], expected, atol=1e-5)


def test_a_model_that_mixes_rows_on_a_line_is_found_out(llama: Path, monkeypatch: pytest.MonkeyPatch):
    language = load_policy(str(llama)).language
    whole = Language.states

    def without_mask(self: Language, batch):
        return whole(self, language_module.TextBatch(batch.ids, batch.places, batch.targets))

    assert keeps_rows_apart(language)
    monkeypatch.setattr(Language, "states", without_mask)
    assert not keeps_rows_apart(language)


def test_gpt2_with_learned_positions_packs_too():
    config = GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=4, n_positions=128, resid_pdrop=0.5)
    torch.manual_seed(1)
    language = Language(GPT2LMHeadModel(config), PromptSettings())
    assert keeps_rows_apart(language)
    assert not [m.p for m in language.modules() if isinstance(m, torch.nn.Dropout) and m.p]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient(llama: Path, demonstrations: list[Demonstration]):
    _, plain = gradient_of(llama, demonstrations, batch_size=24)
    language = load_policy(str(llama)).language
    checkpoint_gradients(language)
    learner, kept = learner_of(language, batch_size=24), {}
    learner.optimiser.register_step_pre_hook(
        lambda *_: kept.update({n: w.grad.clone() for n, w in language.model.named_parameters()}) or None
    )
    learner.learn(demonstrations)
    assert language.model.is_gradient_checkpointing
    assert_close(kept, plain, 1e-6)


def test_bf16_comes_near(llama: Path, demonstrations: list[Demonstration]):
    language = load_policy(str(llama)).language
    exact = float(plain_loss(language.model, demonstrations).detach())
    with torch.autocast("cpu", torch.bfloat16):
        found = language(collate(demonstrations))
        found.loss.backward()
    assert float(found.loss.detach()) / sum(row.learned for row in demonstrations) == pytest.approx(exact, rel=2e-2)
    assert all(weight.grad.dtype is torch.float32 for _, weight in trained(language))


def test_memory_running_out_halves_and_changes_nothing(llama: Path, demonstrations: list[Demonstration], monkeypatch):
    _, expected = gradient_of(llama, demonstrations, packing=True, batch_size=24)
    states = Language.states

    def small(self: Language, batch):
        if batch.ids.numel() > 300:
            raise torch.OutOfMemoryError
        return states(self, batch)

    monkeypatch.setattr(Language, "states", small)
    told: list[tuple[int, int]] = []
    report, gradient = gradient_of(llama, demonstrations, packing=True, batch_size=24, told=told)
    assert told[0] == (12, 24)
    assert report.updated
    assert_close(gradient, expected, 1e-6)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks it
@pytest.mark.parametrize("how", [Adapt.LORA, Adapt.LAST_LAYERS, Adapt.HEAD, Adapt.ALL])
def test_what_is_saved_is_what_was_trained(
    llama: Path, demonstrations: list[Demonstration], tmp_path: Path, how: Adapt
):
    loaded = load_policy(str(llama), PromptSettings(budget=BudgetReward.MAX))
    language = loaded.language
    adapt_policy(language, how, last_layers=1, rank=4)
    names = [name for name, _ in trained(language)]
    group = ParameterGroup("learning_rate", tuple(w for _, w in trained(language)), 1e-2)
    learner = Learner(
        language,
        DemonstrationObjective(language, packing=True),
        [group],
        Accelerator(cpu=True),
        SftSpec(batch_size=24),
        check=lambda: None,
        told=lambda *_: None,
        passes=packed_passes,
    )
    losses = [learner.learn(demonstrations).loss for _ in range(6)]
    assert losses[-1] < losses[0]
    language.eval()
    batch = collate(demonstrations)
    with torch.no_grad():
        before = language(batch).loss
    language.save(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    again = load_policy(str(tmp_path))
    assert again.language.settings == PromptSettings(budget=BudgetReward.MAX)
    with torch.no_grad():
        after = again.language.eval()(batch).loss
    assert float(after) == pytest.approx(float(before), rel=1e-5)
    what = {
        Adapt.LORA: lambda n: "lora_" in n,
        Adapt.LAST_LAYERS: lambda n: "layers.2." in n or n == "model.model.norm.weight",
        Adapt.HEAD: lambda n: n == "model.lm_head.weight",
        Adapt.ALL: lambda n: True,
    }[how]
    assert names
    assert all(what(name) for name in names)
    assert (tmp_path / "adapter").is_dir() == (how is Adapt.LORA)


def test_the_output_layer_of_a_tied_model_cannot_be_trained_alone():
    loaded = load_policy("tiny", None, [row.response for row in ROWS])
    with pytest.raises(ValueError, match="output layer is its embedding"):
        adapt_policy(loaded.language, Adapt.HEAD, last_layers=1, rank=1)


def test_models_that_cannot_be_taught_are_refused(tmp_path: Path, llama: Path):
    with pytest.raises(ModelError, match="cannot load the model"):
        load_policy(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="there is no file"):
        load_policy(str(tmp_path / "nothing.gguf"))
    model = AutoModelForCausalLM.from_pretrained(llama)
    model.config.logit_scale = 3.0
    with pytest.raises(ValueError, match="logit_scale"):
        Language(model, PromptSettings())


def test_every_row_is_where_the_batch_says(demonstrations: list[Demonstration]):
    for packing in (False, True):
        batch = collate(demonstrations, packing=packing)
        assert np.array_equal(
            np.sort(batch.targets), np.sort(np.concatenate([r.ids[r.prompt :] for r in demonstrations]))
        )
        flat = batch.ids.flatten()
        assert torch.equal(flat[batch.places + 1], batch.targets)
