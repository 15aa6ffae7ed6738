"""Thinking budgets while decoding: the hard cap, the grace window, going on, stop texts of several tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trainer.decoding import SMALL, greedy, random_model
from trainer.models.generate import BudgetRule, Decoder, Ended, Sampling, ThinkingEnded
from trainer.models.lanes import Lane, Marks, Pieces, rule_after
from trainer.models.tiny import make_tiny

TEXTS = ["<think>Wait one two </think> three\n\nfour five 12 + 7 = 19"] * 3
CAP = 12


@pytest.fixture(scope="module")
def tiny():
    """A random policy whose tokenizer spells the close mark in several tokens."""
    made = make_tiny(TEXTS, 1, hidden=32, layers=2, heads=4)
    with torch.no_grad():
        for weight in made.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) * 0.2)
    return made


@pytest.fixture(scope="module")
def decoder(tiny):
    decoder = Decoder(tiny.model, tiny.tokenizer, frozen=True)
    assert len(tiny.tokenizer.encode("</think>")) > 1
    return decoder


def lane(tiny, rule: BudgetRule, sampling: Sampling | None = None) -> Lane:
    pieces = Pieces(tiny.tokenizer)
    made = Lane(0, 0, 0, sampling or Sampling(), frozenset(), 10**6, pieces)
    made.obey(Marks.of(rule, pieces))
    return made


def write(at: Lane, ids: list[int]) -> None:
    """What a policy that wants to say `ids` gets to say."""
    for token in ids:
        if at.ended is None:
            at.take(token if at.must is None else at.must, -1.0, 1.0)


def test_the_cap_is_never_exceeded_and_thinking_and_answer_are_counted_apart(tiny, decoder):
    rule = BudgetRule(thinking=CAP, answer=9, grace=0.25)
    sampling = Sampling(max_new_tokens=64, stop_ids=(), budget=rule)
    prompts = [tiny.tokenizer.encode(text) for text in ("one two ", "three\n", "12 + 7 = ")]
    mark = tiny.tokenizer.encode("</think>")
    for of in decoder.generate(prompts, sampling, n=100):
        for trace in of:
            assert trace.thinking_tokens <= CAP
            assert trace.answer_tokens == 9
            assert trace.ended is Ended.BUDGET
            text = tiny.tokenizer.decode(trace.ids)
            assert "</think>" in text
            forced = trace.ids[trace.forced].tolist()
            assert forced == mark[len(mark) - len(forced) :]
            assert (trace.thinking_ended is ThinkingEnded.FORCED) == (forced == mark), "what it began is its own word"
            assert not forced or trace.thinking_ended in (ThinkingEnded.FORCED, ThinkingEnded.NUDGED)
            before = tiny.tokenizer.decode(trace.ids[: trace.thinking_tokens])
            assert "</think>" not in before
            assert len(trace.ids) - trace.thinking_tokens - 9 in (len(mark), len(mark) + 1)


def test_prompts_may_have_budgets_of_their_own(tiny, decoder):
    prompt = tiny.tokenizer.encode("one two ")
    rules = [BudgetRule(thinking=0, answer=3), BudgetRule(thinking=5, answer=2, grace=0.0), None]
    made = decoder.generate([prompt] * 3, Sampling(max_new_tokens=30, stop_ids=()), budgets=rules)
    mark = len(tiny.tokenizer.encode("</think>"))
    assert [trace.thinking_tokens for (trace,) in made] == [0, 5, 0]
    assert [len(trace.ids) for (trace,) in made] == [mark + 3, 5 + mark + 2, 30]
    assert made[2][0].thinking_ended is None


def test_the_bias_grows_within_the_grace_window_and_moves_the_draw(tiny, decoder):
    mark = tiny.tokenizer.encode("</think>")
    at = lane(tiny, BudgetRule(thinking=10, grace=0.4, bias=8.0))
    seen = []
    for _ in range(10):
        seen.append(at.leaning)
        at.take(tiny.tokenizer.encode("one")[0], -1.0, 1.0)
    assert seen[:6] == [None] * 6
    assert seen[6:] == [(mark[0], 2.0), (mark[0], 4.0), (mark[0], 6.0), (mark[0], 8.0)]
    assert at.must == mark[0]
    prompts = [tiny.tokenizer.encode("one two ")]
    share = {}
    for bias in (0.0, 30.0):
        rule = BudgetRule(thinking=20, answer=1, grace=0.5, bias=bias)
        made = decoder.generate(prompts, Sampling(max_new_tokens=64, stop_ids=(), budget=rule), n=40)[0]
        share[bias] = np.mean([trace.thinking_ended is ThinkingEnded.NUDGED for trace in made])
    assert share[30.0] == 1.0 > share[0.0]


def test_a_close_by_the_model_is_taken_back_and_it_goes_on(tiny):
    mark, wait, one = (tiny.tokenizer.encode(text) for text in ("</think>", "Wait", "one "))
    at = lane(tiny, BudgetRule(thinking=40, answer=2, continuations=1))
    write(at, one + mark)
    assert at.ids == one
    assert at.dropped == len(mark)
    assert at.must == wait[0]
    write(at, [0] * len(wait) + one + mark + one * 2)
    made = at.result(None)
    assert made.ids.tolist() == one + wait + one + mark + (one * 2)[:2]
    assert made.continued == 1
    assert made.thinking_tokens == len(one) * 2 + len(wait)
    assert made.answer_tokens == 2
    assert made.thinking_ended is ThinkingEnded.CLOSED
    assert made.forced.tolist() == [token in range(len(one), len(one) + len(wait)) for token in range(len(made.ids))]


def test_tokens_taken_back_leave_no_trace_in_what_follows(tiny, decoder):
    """The close is made certain from a place on; what is written after it was taken back is as if it never stood."""
    model, tokenizer = tiny.model, tiny.tokenizer
    prompt = tokenizer.encode("one two ")
    rule = BudgetRule(thinking=20, grace=1.0, bias=1e6, continuations=1, wait="Wait")
    told: list[int] = []

    def hear(deltas) -> None:
        for delta in deltas:
            if delta.dropped:
                del told[-delta.dropped :]
            told.extend(delta.ids)

    sampling = Sampling(temperature=0.0, max_new_tokens=30, stop_ids=(), budget=rule)
    made = decoder.generate([prompt], sampling, on_tokens=hear)[0][0]
    wait, mark = tokenizer.encode("Wait"), tokenizer.encode("</think>")
    begun = wait + mark
    assert made.ids.tolist() == begun + greedy(model, prompt + begun, 30 - len(begun))
    assert told == made.ids.tolist()
    with torch.no_grad():
        logits = model(torch.tensor([prompt + made.ids.tolist()])).logits[0, len(prompt) - 1 : -1]
    wanted = logits.double().log_softmax(-1)[range(30), made.ids]
    np.testing.assert_allclose(made.logprobs, wanted, atol=1e-4)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_stop_text_is_found_however_it_is_cut_into_tokens(tiny, pieces):
    tokenizer = tiny.tokenizer
    text = "one two\n\n"
    cut = [text[i * len(text) // pieces : (i + 1) * len(text) // pieces] for i in range(pieces)]
    ids = [token for part in cut for token in tokenizer.encode(part)]
    at = Lane(0, 0, 0, Sampling(stop_texts=("\n\n",)), frozenset(), 10**6, Pieces(tokenizer))
    for token in ids:
        assert at.ended is None
        at.take(token, -1.0, 1.0)
    assert at.ended is Ended.TEXT
    assert tokenizer.decode(at.ids) == text


def test_generation_ends_at_the_first_stop_text(tiny, decoder):
    prompts = [tiny.tokenizer.encode(text) for text in ("one two ", "three\n")]
    free = decoder.generate(prompts, Sampling(max_new_tokens=40, stop_ids=()), n=20)
    pieces = Pieces(tiny.tokenizer)
    pairs = [pieces.decode(trace.ids[n : n + 2].tolist()) for of in free for trace in of for n in range(5, 20)]
    mark = next(pair for pair in pairs if pair.isascii() and pair.strip() == pair and len(pair) == 2)
    stopped = decoder.generate(prompts, Sampling(max_new_tokens=40, stop_ids=(), stop_texts=(mark,)), n=20)
    found = 0
    for whole, short in zip((t for of in free for t in of), (t for of in stopped for t in of), strict=True):
        assert whole.ids[: len(short.ids)].tolist() == short.ids.tolist()
        texts = [tiny.tokenizer.decode(short.ids[:n]) for n in (len(short.ids) - 1, len(short.ids))]
        assert mark not in texts[0]
        assert (mark in texts[1]) == (short.ended is Ended.TEXT)
        found += short.ended is Ended.TEXT
    assert 0 < found < 40


@pytest.mark.parametrize("bias", [0.0, 1e6])  # the mark is forced at the cap, or the model writes it
@pytest.mark.parametrize("pace", [1, 2, 4])
def test_a_rule_goes_on_where_a_kept_prefix_stands(tiny, decoder, bias, pace):
    prompt = tiny.tokenizer.encode("one two ")
    rule = BudgetRule(thinking=10, answer=6, grace=0.5, bias=bias)
    sampling = Sampling(temperature=0.0, max_new_tokens=40, stop_ids=(), budget=rule)
    whole = decoder.generate([prompt], sampling)[0][0]
    assert whole.thinking_ended is (ThinkingEnded.NUDGED if bias else ThinkingEnded.FORCED)
    at, left, ids = decoder.prefix(prompt), rule, []
    while True:
        step = Sampling(temperature=0.0, max_new_tokens=pace, stop_ids=(), budget=left)
        made = decoder.generate([at], step, keep=True)[0][0]
        ids += made.ids.tolist()
        if made.ended is Ended.BUDGET:
            break
        at, left = made.prefix, rule_after(left, made)
    assert ids == whole.ids.tolist()


def test_a_rule_that_cannot_be_kept_is_refused(tiny):
    with pytest.raises(ValueError, match="must contain the close mark"):
        lane(tiny, BudgetRule(thinking=3, forced="stop"))
    with pytest.raises(ValueError, match="at least 0 tokens"):
        BudgetRule(thinking=-1)
    with pytest.raises(ValueError, match="needs the tokenizer"):
        Decoder(random_model("Llama", SMALL)).generate([[1]], Sampling(budget=BudgetRule(thinking=3)))
