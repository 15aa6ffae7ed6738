"""Policies of this machine behind a router: log-probs of their answers, scores of a PRM, late ones, refused ones."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from tests.unit.routing.simulated import row, same
from trainer.models.answering import Told, Writer
from trainer.models.endpoint import Price
from trainer.models.language import Language
from trainer.models.load import Loaded, load_for_training
from trainer.models.policies import LoadedPolicy
from trainer.models.prm import PrmSettings
from trainer.models.tiny import make_tiny
from trainer.prompts import PromptSettings
from trainer.reasoning.response import read_response
from trainer.reasoning.stories import make_stories
from trainer.routing.backends import LATE, Local, Place, logprobs_in
from trainer.routing.confidence import answer_span, plain
from trainer.routing.router import Router, Rules
from trainer.routing.scoring import Scored
from trainer.routing.values import FAST, REASONING, Effort, Question, Reply
from trainer.runtime.resident import RequestCancelled

STORIES = list(make_stories(30, seed=9))
TEXTS = [f"{story.problem}\n<think>\n" + "\n".join(story.steps) + "\n</think>" for story in STORIES]
QUESTIONS = [Question(row(f"r{k}", story.problem)) for k, story in enumerate(STORIES[:3])]
EFFORT = Effort(n=3, thinking=12, answer=6, temperature=1.0, top_p=1.0)


def policy(seed: int, tier: str = FAST) -> Local:
    """Untaught weights."""
    torch.set_num_threads(1)
    tiny = make_tiny(TEXTS, seed, longest=512)
    loaded = LoadedPolicy(Language(tiny.model, PromptSettings()), tiny.tokenizer, "tiny", taught=True)
    return Local(Writer(loaded), f"tiny {seed}", f"policy {seed}", Place("run", tier), Price(1.0, 2.0))


def ask(local: Local | Scored, effort: Effort = EFFORT) -> list[Reply]:
    return local.ask(QUESTIONS, effort, lambda: None, None, None)


@pytest.fixture(scope="module")
def prm() -> Loaded:
    return load_for_training("tiny", PrmSettings(classes=2, max_length=256), TEXTS, seed=1, with_language_head=False)


def test_samples_carry_the_log_probs_of_their_answers_and_are_the_same_again():
    local = policy(3)
    replies = ask(local)
    assert [len(reply.samples) for reply in replies] == [3, 3, 3]
    traces = [sample.trace for reply in replies for sample in reply.samples]
    assert len({trace.id for trace in traces}) == 9
    for reply in replies:
        assert reply.spent.tokens == sum(sample.tokens for sample in reply.samples) > 0
        assert reply.spent.cost == pytest.approx((reply.spent.tokens_read + 2 * reply.spent.tokens) / 1e6)
        for sample in reply.samples:
            assert sample.trace.tokens is not None
            starts, logprobs = logprobs_in(sample.trace.tokens)
            span = answer_span(sample.trace.text, sample.answer)
            ends = [*starts[1:], len(sample.trace.text)]
            mine = [p for s, e, p in zip(starts, ends, logprobs, strict=True) if s < span.end and e > span.start]
            if not mine:
                assert sample.mean is None
                continue
            assert sample.mean == pytest.approx(np.mean(mine), rel=1e-5)
            assert sample.least == pytest.approx(min(mine), rel=1e-5)
    again = ask(policy(3))
    assert [s.trace.text for r in again for s in r.samples] == [trace.text for trace in traces]


def test_a_prm_scores_the_weakest_step(prm: Loaded):
    scored = Scored(policy(3), prm, "sum")
    plainly, judged = ask(policy(3)), ask(scored)
    assert scored.identity == "policy 3 scored by sum"
    encoder = prm.encoder(256)
    for before, after in zip(plainly, judged, strict=True):
        assert [s.trace for s in after.samples] == [s.trace for s in before.samples]
        assert after.spent.prm_calls == 3
        for sample in after.samples:
            encoded = encoder.encode(sample.trace.problem, read_response(sample.trace.text).step_texts)
            if not encoded.steps:
                assert sample.prm is None
                continue
            with torch.inference_mode():
                states = prm.prm.body(input_ids=torch.tensor(encoded.ids)[None]).last_hidden_state[0]
                scores = prm.prm.head(states[torch.tensor(encoded.ends)]).double().softmax(-1)[:, 1]
            assert sample.prm == pytest.approx(float(scores.min()), abs=1e-5)


def test_a_local_model_that_is_late_is_left_and_the_other_answer_stands():
    slow = policy(4, REASONING)
    ends = time.monotonic()
    replies = slow.ask(QUESTIONS, Effort(n=2, thinking=200, answer=50), lambda: None, None, ends)
    assert [(reply.samples, reply.problem) for reply in replies] == [((), LATE)] * 3
    rules = Rules(fast=EFFORT, reasoning=Effort(n=1, thinking=300, answer=50), latency=1e-3)
    routes = Router(policy(3), slow, rules, confidence=lambda _: 0.1, equal=same).route(QUESTIONS, lambda: None)
    assert all("no time" in route.marked for route in routes)


def test_a_problem_that_the_model_cannot_read_is_refused_alone():
    long = Question(row("long", "apples " * 900))
    replies = policy(3).ask([QUESTIONS[0], long], EFFORT, lambda: None, None, None)
    assert len(replies[0].samples) == 3
    assert replies[1].samples == ()
    assert replies[1].problem


def test_text_is_told_while_it_is_written_and_a_cancel_ends_it():
    told: list[Told] = []
    rules = Rules(fast=EFFORT, reasoning=Effort(n=1, thinking=12, answer=6), audit=0.0)
    router = Router(policy(3), policy(4, REASONING), rules, confidence=plain, equal=same)
    router.rules = Rules(fast=EFFORT, reasoning=rules.reasoning)
    (route,) = router.route(QUESTIONS[:1], lambda: None, told.extend)
    texts = {k: "".join(one.text for one in told if one.trace == k) for k in {one.trace for one in told}}
    wanted = [sample.trace.text for sample in route.samples]
    assert [texts[k] for k in sorted(texts)] == wanted
    assert len(wanted) == 4 if route.escalated else len(wanted) == 3

    def cancel() -> None:
        raise RequestCancelled("r")

    with pytest.raises(RequestCancelled):
        router.route(QUESTIONS[:1], cancel)
