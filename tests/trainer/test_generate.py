"""The decoder writes what the model itself would write, whatever its neighbours, its padding and its family."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trainer.decoding import FUSED, PLAIN, REREAD, SMALL, VOCABULARY, greedy, random_model
from trainer.models.adapt import add_lora
from trainer.models.engines import HfEngine, RereadingEngine, body_of
from trainer.models.fused import FusedEngine
from trainer.models.generate import Decoder, Ended, PromptError, Sampling
from trainer.models.kv import Kv
from trainer.models.sampling import Measured, draw
from trainer.models.tiny import make_tiny

FAMILIES = FUSED | PLAIN | REREAD
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [20, 21, 22], [33], [5, 6, 7, 8]]
GREEDY = Sampling(temperature=0.0, max_new_tokens=20)


@pytest.fixture(scope="module")
def llama():
    return random_model("Llama", SMALL)


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_tokens_are_those_of_transformers_and_logprobs_those_of_one_plain_pass(name):
    model = random_model(*FAMILIES[name])
    decoder = Decoder(model)
    kind = FusedEngine if name in FUSED else HfEngine if name in PLAIN else RereadingEngine
    assert type(decoder._engine) is kind
    for prompt, traces in zip(PROMPTS, decoder.generate(PROMPTS, GREEDY, n=2), strict=True):
        wanted = greedy(model, prompt, 20)
        with torch.no_grad():
            plain = model(torch.tensor([prompt + wanted])).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
        for trace in traces:
            assert trace.ids.tolist() == wanted
            assert trace.ended is Ended.LENGTH
            np.testing.assert_allclose(trace.logprobs, plain[range(20), wanted], atol=2e-5)
            np.testing.assert_allclose(trace.entropy, -(plain.exp() * plain).sum(-1), atol=5e-5)


@pytest.mark.parametrize("name", FUSED)
def test_our_pass_equals_the_models_own_with_padding_on_the_left_and_a_long_past(name):
    model = random_model(*FUSED[name])
    body = body_of(model)
    fused, plain = FusedEngine(body, model.get_output_embeddings()), HfEngine(body, model)
    generator = torch.Generator().manual_seed(1)
    first, second = Kv(3, torch.device("cpu")), Kv(3, torch.device("cpu"))
    for length, padding in ((9, [0, 4, 8]), (5, [2, 0, 4]), (1, [0, 0, 0]), (3, [0, 0, 0])):
        ids = torch.randint(VOCABULARY, (3, length), generator=generator)
        real = torch.arange(length) >= torch.tensor(padding)[:, None]
        given = None if not any(padding) else real
        with torch.inference_mode():
            ours, theirs = fused.states(ids, first, given), plain.states(ids, second, given)
        assert (ours - theirs)[real].abs().max() <= 1e-5 * theirs[real].abs().max()


def test_bfloat16_follows_the_models_own_pass():
    model = random_model("Llama", SMALL, dtype=torch.bfloat16)
    made = Decoder(model).generate([PROMPTS[0]], GREEDY)[0][0]
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0] + made.ids.tolist()])).logits[0, len(PROMPTS[0]) - 1 : -1]
    plain = logits.float().log_softmax(-1)[range(20), made.ids]
    np.testing.assert_allclose(made.logprobs, plain, atol=0.15)


def test_a_trace_depends_on_its_seed_and_prompt_and_not_on_its_neighbours(llama):
    decoder = Decoder(llama)
    sampling = Sampling(temperature=0.9, top_p=0.9, max_new_tokens=30, stop_ids=(7, 8, 9, 10, 11))
    together = decoder.generate(PROMPTS, sampling, n=3, seeds=range(100, 112))
    for p, prompt in enumerate(PROMPTS):
        for t in range(3):
            alone = decoder.generate([prompt], sampling, seeds=[100 + 3 * p + t])[0][0]
            assert alone.ids.tolist() == together[p][t].ids.tolist()
            np.testing.assert_allclose(alone.logprobs, together[p][t].logprobs, atol=1e-4)
    narrow = Decoder(llama, rows=2).generate(PROMPTS, sampling, n=3, seeds=range(100, 112))
    assert [[t.ids.tolist() for t in of] for of in narrow] == [[t.ids.tolist() for t in of] for of in together]
    assert {t.ended for of in together for t in of} >= {Ended.STOP}
    assert len({tuple(t.ids.tolist()) for t in together[0]}) > 1


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.3, 0.7)])
def test_tokens_are_drawn_as_often_as_the_distribution_says(temperature, top_p):
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(3)) * 1.5
    shares = np.exp(logits[0].double().numpy() / temperature)
    shares /= shares.sum()
    order = np.argsort(-shares)
    kept = order[: int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1] if top_p < 1 else order
    wanted = np.zeros(12)
    wanted[kept] = shares[kept] / shares[kept].sum()
    rows = 20000
    uniform = (torch.arange(rows, dtype=torch.float64)[:, None] + 0.5) / rows  # every part of [0, 1) equally
    drawn = draw(logits.expand(rows, -1), uniform, Sampling(temperature=temperature, top_p=top_p))
    found = np.bincount(drawn.ids.numpy(), minlength=12) / rows
    np.testing.assert_allclose(found, wanted, atol=2 / rows)
    np.testing.assert_allclose(drawn.logprobs, np.log(shares[drawn.ids]), atol=1e-5)
    np.testing.assert_allclose(drawn.entropy[0], -(shares * np.log(shares)).sum(), atol=1e-5)


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-40, 5e-324])
def test_the_coldest_draw_is_the_most_probable_token(temperature):
    logits = torch.tensor([[0.5, 9.0, -70.0, 8.5]]) * 3
    drawn = draw(logits.expand(5, -1), torch.linspace(0.0, 0.99, 5)[:, None], Sampling(temperature=temperature))
    assert drawn.ids.tolist() == [1] * 5
    assert torch.isfinite(drawn.logprobs).all()
    assert torch.isfinite(drawn.entropy).all()


def test_raw_logprobs_are_those_at_temperature_one():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(3))
    drawn = draw(logits, torch.full((4, 1), 0.4), Sampling(temperature=0.5, measured=Measured.RAW))
    plain = logits.double().log_softmax(-1)
    np.testing.assert_allclose(drawn.logprobs, plain[range(4), drawn.ids], atol=1e-6)


def test_stop_ids_are_the_models_own_unless_given(llama):
    wanted = greedy(llama, PROMPTS[0], 20)
    decoder = Decoder(llama)
    stop = next(token for token in wanted if token != wanted[0])
    made = decoder.generate([PROMPTS[0]], Sampling(temperature=0.0, max_new_tokens=20, stop_ids=(stop,)))[0][0]
    assert made.ids.tolist() == wanted[: wanted.index(stop) + 1]
    assert made.ended is Ended.STOP
    assert decoder.stop_ids == ()


def test_the_context_ends_a_trace_and_a_prompt_beyond_it_is_refused(llama):
    decoder = Decoder(llama)
    made = decoder.generate([[3] * 120], Sampling(max_new_tokens=50))[0][0]
    assert made.ended is Ended.CONTEXT
    assert len(made.ids) == 8
    with pytest.raises(PromptError, match=r"128 tokens and the model reads 128; shorten"):
        decoder.generate([[3] * 128], GREEDY)
    with pytest.raises(PromptError, match="token 300 is not among the model's 300"):
        decoder.generate([[300]], GREEDY)
    with pytest.raises(PromptError, match="empty prompt"):
        decoder.generate([[]], GREEDY)


def test_an_empty_prompt_begins_with_the_tokenizers_first_token_and_padding_of_the_vocabulary_is_never_drawn():
    tiny = make_tiny(["one two three"], 0)
    model = tiny.model
    model.resize_token_embeddings(len(tiny.tokenizer) + 61)
    with torch.no_grad():
        model.get_output_embeddings().weight[len(tiny.tokenizer) :] *= 50.0
    decoder = Decoder(model, tiny.tokenizer)
    sampling = Sampling(max_new_tokens=24, stop_ids=())
    begun = int(tiny.tokenizer.bos_token_id)
    first, second = decoder.generate([[], [begun]], sampling, seeds=[4, 4])
    assert first[0].ids.tolist() == second[0].ids.tolist()
    assert first[0].ids.max() < len(tiny.tokenizer) == decoder.vocabulary


def test_every_token_is_told_once_and_a_cancel_comes_through(llama):
    decoder = Decoder(llama)
    told: dict[tuple[int, int], list[int]] = {}

    def hear(deltas) -> None:
        for delta in deltas:
            told.setdefault((delta.prompt, delta.trace), []).extend(delta.ids)

    sampling = Sampling(max_new_tokens=40, stop_ids=(7, 8, 9, 10, 11, 12, 13))
    made = decoder.generate(PROMPTS, sampling, n=2, on_tokens=hear)
    assert told == {(p, t): trace.ids.tolist() for p, of in enumerate(made) for t, trace in enumerate(of)}

    calls = []

    def cancel() -> None:
        calls.append(len(told))
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoder.generate([PROMPTS[0]], Sampling(max_new_tokens=100, stop_ids=()), check=cancel)
    assert decoder.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist() == greedy(llama, PROMPTS[0], 20)


def test_changed_weights_are_read_again_unless_frozen_was_promised():
    model = random_model("Llama", SMALL)
    decoder, frozen = Decoder(model), Decoder(model, frozen=True)
    before = [d.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist() for d in (decoder, frozen)]
    with torch.no_grad():
        for weight in model.parameters():
            weight.data.copy_(weight + 0.3 * torch.randn_like(weight))
    wanted = greedy(model, PROMPTS[0], 20)
    assert wanted != before[0] == before[1]
    assert decoder.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist() == wanted
    frozen.refresh()
    assert frozen.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist() == wanted


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks it
def test_adapters_are_part_of_what_is_decoded():
    model = random_model("Llama", SMALL)
    plain = greedy(model, PROMPTS[0], 20)
    add_lora(model, 4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.2)
    model.train()
    decoder = Decoder(model)
    assert type(decoder._engine) is FusedEngine
    made = decoder.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist()
    assert model.training
    model.eval()
    assert made == greedy(model, PROMPTS[0], 20) != plain
    with model.model.disable_adapter():
        assert decoder.generate([PROMPTS[0]], GREEDY)[0][0].ids.tolist() == plain


@pytest.mark.parametrize("name", ["llama", "gpt2", "lfm2"])
def test_a_search_over_kept_prefixes_reads_each_token_once_and_writes_the_same(name):
    model = random_model(*FAMILIES[name])
    decoder = Decoder(model, frozen=True)
    whole = greedy(model, PROMPTS[0], 20)
    prefix = decoder.prefix(PROMPTS[0])
    step = Sampling(temperature=0.0, max_new_tokens=5)
    for start in range(0, 20, 5):
        others = [decoder.extend(prefix, [40 + k] * (k + 1)) for k in range(2)]
        made = decoder.generate([prefix, *others], step, keep=True)
        assert made[0][0].ids.tolist() == whole[start : start + 5]
        for other, of in zip(others, made[1:], strict=True):
            assert of[0].ids.tolist() == greedy(model, list(other.ids), 5)
        prefix = made[0][0].prefix
        assert prefix.ids == (*PROMPTS[0], *whole[: start + 5])
    assert decoder.tokens_read == len(PROMPTS[0]) - 1 + 4 * (1 + 2)


def test_prefixes_that_do_not_fit_are_read_again(llama):
    roomy, tight = Decoder(llama, frozen=True), Decoder(llama, frozen=True, kept_bytes=1)
    made = []
    for decoder in (roomy, tight):
        prefix = decoder.extend(decoder.prefix(PROMPTS[0]), PROMPTS[1])
        sampling = Sampling(max_new_tokens=8)
        for _ in range(3):
            first = decoder.generate([prefix], sampling, n=2, seeds=[5, 6], keep=True)[0]
            prefix = first[1].prefix
        made.append(prefix.ids)
    assert made[0] == made[1]
    assert tight.tokens_read > roomy.tokens_read


def test_arguments_that_do_not_fit_together_are_refused(llama):
    decoder = Decoder(llama)
    with pytest.raises(ValueError, match="1 prompts x 2 traces, but 3 seeds"):
        decoder.generate([[1]], GREEDY, n=2, seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="stop texts need a tokenizer"):
        decoder.generate([[1]], Sampling(stop_texts=("x",)))
    with pytest.raises(ValueError, match="temperature at least 0"):
        Sampling(temperature=-1)


def test_small_products_take_one_thread_and_give_the_others_back(llama):
    decoder, threads, seen = Decoder(llama), torch.get_num_threads(), []

    def stopping() -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 3:
            raise KeyboardInterrupt

    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            decoder.generate(PROMPTS, Sampling(max_new_tokens=64, stop_ids=()), check=stopping)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
        wide = Decoder(random_model("Llama", SMALL | {"vocab_size": 60_000}), rows=64)
        wide.generate(PROMPTS[:1], Sampling(max_new_tokens=2), n=64, check=lambda: seen.append(torch.get_num_threads()))
        assert seen[-1] == 2
    finally:
        torch.set_num_threads(threads)
