"""A reasoning model behind an address that misbehaves: the fast model's answer stands, and the route says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.unit.models.http_servers import Handler, Scripted, answers, chat, chunk, served, streams
from tests.unit.routing.simulated import Says, row, same
from trainer.contract.records import record_id
from trainer.models.endpoint import Dialect, Endpoint, EndpointSettings, Limits, Price, Retries, Timeouts
from trainer.models.growing import Told
from trainer.routing.backends import LATE, Distant, Place, logprobs_in
from trainer.routing.router import Routed, Router, Rules
from trainer.routing.values import FIRST, REASONING, Effort, Question


def distant(server: Scripted, dialect: Dialect = Dialect.CHAT, key: str = "", **more: object) -> Distant:
    given = {
        "timeouts": Timeouts(connect=5, first=20, between=20, total=20),
        "retries": Retries(most=1, first=0.01, longest=0.02),
        "price": Price(1.0, 10.0),
    }
    settings = EndpointSettings(server.url, "large", dialect=dialect, **given | more)  # type: ignore[arg-type]
    return Distant(Endpoint(settings, key), Place("run", REASONING))


def routed(backend: Distant, *, latency: float | None = None) -> Routed:
    """A fast model that is unsure, in front of the address."""
    rules = Rules(latency=latency, fast=Effort(n=1), reasoning=Effort(n=1))
    router = Router(Says(("7",)), backend, rules, confidence=lambda _: 0.1, equal=same)
    (route,) = router.route([Question(row("a", "3 + 4?"))], lambda: None)
    return route


def stands_marked(route: Routed) -> str:
    """The fast model's answer stands; what the mark says."""
    assert route.answer == "7"
    assert route.asked[route.answered_by].tier == "fast"
    assert route.escalated
    assert route.marked.startswith("the reasoning model did not answer: ")
    assert route.marked.endswith("; the fast model's answer stands")
    return route.marked


def hangs(handler: Handler, number: int) -> None:
    handler.server.free.wait(60)


def says(status: int, words: str, **headers: str) -> Callable[[Handler, int], None]:
    return lambda handler, number: handler.json({"error": {"message": words}}, status, **headers)


def test_one_that_works_answers():
    with served(answers(chat("So it is \\boxed{8}.", usage={"prompt_tokens": 20, "completion_tokens": 9}))) as server:
        route = routed(distant(server))
        path, _, body = server.seen[0]
    assert (route.answer, route.marked, route.answered_by) == ("8", "", 1)
    assert route.asked[1].why == "escalated: P(right) 0.10, below 0.70"
    assert route.asked[1].spent.cost == pytest.approx((20 * 1 + 9 * 10) / 1e6)
    assert route.spent.tokens == 5 + 9
    assert path == "/v1/chat/completions"
    assert body["messages"][-1] == {"role": "user", "content": "3 + 4?"}
    assert route.samples[-1].trace.text == "So it is \\boxed{8}."


def test_a_slow_one():
    with served(hangs) as server:
        slow = Timeouts(connect=5, first=0.2, between=0.2, total=0.3)
        assert "s" in stands_marked(routed(distant(server, timeouts=slow, retries=Retries(most=0))))


def test_one_that_is_not_ready_when_the_time_is_up():
    with served(hangs) as server:
        assert LATE in stands_marked(routed(distant(server), latency=0.3))


def test_a_wrong_one():
    with served(answers({"what": "is this"})) as server:
        assert "no chat answer" in stands_marked(routed(distant(server)))
    with served(lambda handler, number: handler.raw(b"<html>hello</html>")) as server:
        assert "no JSON" in stands_marked(routed(distant(server)))


def test_one_whose_json_is_nested_without_end():
    for body in (b"[" * 200_000, b'{"a":' * 100_000):
        with served(lambda handler, number, body=body: handler.raw(body)) as server:
            assert "nested too deeply" in stands_marked(routed(distant(server)))


def test_half_a_character_is_written_down_as_unknown():
    half = b'{"id": "\\udc00", "model": "\\udc00", "choices": [{"index": 0, "finish_reason": "\\ud83d", "message": '
    half += b'{"content": "\\ud83d is \\ud83d\\ude00, so \\\\boxed{8}."}}]}'
    with served(lambda handler, number: handler.raw(half)) as server:
        route = routed(distant(server))
    assert (route.answer, route.marked) == ("8", "")
    (trace,) = [sample.trace for sample in route.samples if sample.answer == "8"]
    assert "\ufffd is \U0001f600, so" in trace.text
    msgspec.json.encode(trace)


def test_one_that_moved_says_where():
    with served(lambda handler, number: handler.raw(b"", 308, Location="https://example.org/v1")) as server:
        assert "sends on to https://example.org/v1, which is not followed" in stands_marked(routed(distant(server)))


def test_an_empty_one():
    with served(answers(chat(""))) as server:
        assert "the answer is empty" in stands_marked(routed(distant(server)))
        assert len(server.seen) == 2  # once more, as its settings say


def test_what_answers_of_no_use_cost_is_counted():
    usage = {"prompt_tokens": 20, "completion_tokens": 9}
    empty, good = chat("", usage=usage), chat("\\boxed{8}", usage=usage)
    once = (20 * 1 + 9 * 10) / 1e6
    with served(answers(empty, good)) as server:
        assert routed(distant(server)).asked[1].spent.cost == pytest.approx(2 * once)
    with served(answers(empty)) as server:
        route = routed(distant(server))
    stands_marked(route)
    assert route.asked[1].spent.cost == pytest.approx(2 * once)
    assert route.asked[1].spent.tokens == 18


def test_the_time_that_a_failed_model_took_is_its_own():
    with served(hangs) as server:
        slow = Timeouts(connect=5, first=0.2, between=0.2, total=0.3)
        route = routed(distant(server, timeouts=slow, retries=Retries(most=0)))
    assert 0.2 <= route.asked[1].spent.seconds <= route.spent.seconds


def test_one_that_answers_in_words_without_an_answer():
    with served(answers(chat("I would rather not."))) as server:
        assert "it wrote no answer" in stands_marked(routed(distant(server)))


def test_a_limited_one():
    with served(says(429, "too many requests", Retry_After="0")) as server:
        assert "too many requests; ask less often, or later (2 tries)" in stands_marked(routed(distant(server)))


def test_one_that_is_down():
    with served(says(503, "out of order")) as server:
        assert "out of order" in stands_marked(routed(distant(server)))
        url = server.url
    gone = EndpointSettings(url, "large", retries=Retries(most=0))
    marked = stands_marked(routed(Distant(Endpoint(gone), Place("run", REASONING))))
    assert url in marked


def test_a_refused_key_is_named_and_never_shown():
    with served(says(401, "bad key sk-abc")) as server:
        marked = stands_marked(routed(distant(server, key="sk-abc")))
    assert "check the key" in marked
    assert "sk-abc" not in marked


def test_what_had_come_of_an_answer_that_broke_off_is_kept():
    def breaks(handler: Handler, number: int) -> None:
        handler.begin_events()
        handler.event(chunk(content="The answer is 8"))

    with served(breaks) as server:
        backend = distant(server)
        told: list[str] = []
        (reply,) = backend.ask(
            [Question(row("a"))], Effort(), lambda: None, lambda new: told.extend(one.text for one in new), None
        )
    assert reply.samples == ()
    assert "cut off in the middle" in reply.problem
    (kept,) = reply.partial
    assert kept.text == "The answer is 8"
    assert "cut off" in str(kept.settings["broke_off"])
    assert told == ["The answer is 8"]


def test_log_probs_of_the_answer_come_with_it():
    words = [("It", -0.5), (" is", -0.25), (" 8", -0.125)]
    content = [{"token": word, "logprob": logprob, "top_logprobs": []} for word, logprob in words]
    body = chat("It is 8", choice={"logprobs": {"content": content}}, message={"reasoning_content": "hm"})
    with served(answers(body)) as server:
        (reply,) = distant(server).ask([Question(row("a"))], Effort(), lambda: None, None, None)
    (one,) = reply.samples
    assert one.trace.text == "<think>hm</think>It is 8"
    assert (one.answer, one.mean, one.least) == ("8", -0.125, -0.125)
    assert one.trace.tokens is not None
    starts, logprobs = logprobs_in(one.trace.tokens)
    assert [one.trace.text[start:] for start in starts] == ["It is 8", " is 8", " 8"]
    assert np.array_equal(logprobs, np.array([-0.5, -0.25, -0.125], np.float32))


def test_a_server_that_refuses_log_probs_is_asked_without_them():
    def picky(handler: Handler, number: int) -> None:
        asked = handler.server.seen[number][2]
        if "logprobs" in asked:
            handler.json({"error": {"message": "logprobs is not supported"}}, 400)
        else:
            handler.json(chat("8"))

    with served(picky) as server:
        backend = distant(server)
        for _ in range(2):
            (reply,) = backend.ask([Question(row("a"))], Effort(n=2), lambda: None, None, None)
            assert [one.answer for one in reply.samples] == ["8", "8"]
            assert reply.problem == ""
        assert len(server.seen) == 4 + 2  # the second time it is known


def test_some_samples_that_fail_leave_the_others():
    def every_other(handler: Handler, number: int) -> None:
        if handler.server.seen[number][2]["seed"] % 2:
            handler.json({"error": {"message": "out of luck"}}, 418)
        else:
            handler.json(chat("8"))

    with served(every_other) as server:
        backend = distant(server, limits=Limits(parallel=2))
        (reply,) = backend.ask([Question(row("a"))], Effort(n=4), lambda: None, None, None)
    assert [one.answer for one in reply.samples] == ["8", "8"]
    assert "out of luck" in reply.problem
    assert len({one.trace.id for one in reply.samples}) == 2


def test_what_a_chat_is_asked_and_under_which_numbers_its_samples_stand():
    question = Question(row("a", "3 + 4?"), context="Be brief.", key="asked")
    with served(answers(chat("8"))) as server:
        (reply,) = distant(server, limits=Limits(parallel=1)).ask([question], Effort(n=2), lambda: None, None, None)
        distant(server).ask([replace(question, context="")], Effort(n=1, top_p=1.0), lambda: None, None, None)
        bodies = [body for _, _, body in server.seen]
    assert [one.trace.id for one in reply.samples] == [
        record_id("run", "asked", FIRST[REASONING] + n) for n in range(2)
    ]
    assert bodies[1]["seed"] == bodies[0]["seed"] + 1
    assert bodies[2]["seed"] == bodies[0]["seed"] < 2**31, "it follows from the problem"
    first, _, last = bodies
    assert (first["temperature"], first["top_p"], first["logprobs"]) == (0.7, 0.95, True)
    assert "top_p" not in last
    assert [turn["role"] for turn in first["messages"]] == ["system", "user"]
    assert first["messages"][0]["content"] == "Be brief.\n\n" + last["messages"][0]["content"]
    assert first["messages"][1]["content"] == "3 + 4?"
    with served(answers({"id": "r", "choices": [{"index": 0, "text": "8", "finish_reason": "stop"}]})) as server:
        (reply,) = distant(server, Dialect.COMPLETIONS).ask([question], Effort(), lambda: None, None, None)
        ((path, _, body),) = server.seen
    assert (path, [one.answer for one in reply.samples]) == ("/v1/completions", ["8"])
    assert body["prompt"] == first["messages"][0]["content"] + "\n\n3 + 4?\n\n"


@pytest.mark.parametrize(("thinking", "thinks"), [(1023, False), (1024, True)])
def test_anthropic_thinks_only_with_the_tokens_that_it_asks_for(thinking: int, thinks: bool):
    body = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "7"}], "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip
    with served(answers(body)) as server:
        backend = distant(server, Dialect.MESSAGES, key="sk-test")
        backend.ask([Question(row("a"))], Effort(1, thinking, 512), lambda: None, None, None)
        ((_, _, asked),) = server.seen
    assert ("thinking" in asked, "temperature" in asked, "top_p" in asked) == (thinks, not thinks, not thinks)


def test_one_sample_is_told_as_it_comes_and_several_when_they_are_whole():
    told: list[Told] = []
    pieces = [chunk(reasoning_content="3 and "), chunk(reasoning_content="4"), chunk(content="It is "),
              chunk(content="\\boxed{7}."), chunk(finish="stop"), "[DONE]"]  # fmt: skip
    with served(streams(pieces)) as server:
        (reply,) = distant(server).ask([Question(row("a"))], Effort(n=1), lambda: None, told.extend, None)
    assert "".join(one.text for one in told) == "<think>3 and 4</think>It is \\boxed{7}." == reply.samples[0].trace.text
    assert "".join(one.text for one in told if one.part == "thinking") == "<think>3 and 4"
    assert [one.done for one in told] == [False] * (len(told) - 1) + [True]
    assert {(one.ask, one.trace) for one in told} == {(0, 0)}
    told.clear()
    with served(answers(chat("7"))) as server:
        distant(server).ask([Question(row("a")), Question(row("b"))], Effort(n=2), lambda: None, told.extend, None)
    assert [(one.ask, one.trace, one.text, one.done) for one in told] == [
        (ask, trace, "7", True) for ask in range(2) for trace in range(2)
    ]
    told.clear()
    with served(says(418, "out of luck")) as server:
        (reply,) = distant(server).ask([Question(row("a"))], Effort(n=1), lambda: None, told.extend, None)
    assert (reply.samples, told) == ((), [])
    assert "out of luck" in reply.problem


def test_thinking_is_counted_apart_and_log_probs_of_another_text_are_left_out():
    content = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in ("It", " is", " 9")]
    body = chat("It is 8", choice={"logprobs": {"content": content}})
    used = {"prompt_tokens": 5, "completion_tokens": 30, "completion_tokens_details": {"reasoning_tokens": 10}}
    with served(answers(body | {"usage": used}, body)) as server:
        told, silent = (
            distant(server).ask([Question(row("a"))], Effort(), lambda: None, None, None)[0].samples[0]
            for _ in range(2)
        )
    assert told.trace.budget is not None
    assert (told.trace.budget.thinking, told.trace.budget.answer, told.tokens) == (10, 20, 30)
    assert silent.tokens == 3, "else its log-probs are counted"
    assert (told.trace.tokens, told.mean, told.least) == (None, None, None)


def test_anthropic_messages():
    blocks = [
        {"type": "thinking", "thinking": "3 and 4", "signature": "s"},
        {"type": "text", "text": "It is \\boxed{7}."},
    ]
    body = {
        "id": "m", "type": "message", "role": "assistant", "model": "c", "content": blocks, "stop_reason": "end_turn",
        "usage": {"input_tokens": 12, "output_tokens": 30},
    }  # fmt: skip
    with served(answers(body)) as server:
        backend = distant(server, Dialect.MESSAGES, key="sk-test")
        (reply,) = backend.ask(
            [Question(row("a", "3 + 4?"), context="Be brief.")], Effort(1, 2048, 512), lambda: None, None, None
        )
        path, headers, asked = server.seen[0]
    (one,) = reply.samples
    assert (one.answer, one.trace.text) == ("7", "<think>3 and 4</think>It is \\boxed{7}.")
    assert one.trace.budget is not None
    assert (one.trace.budget.thinking_granted, one.trace.budget.used) == (2048, 30)
    assert path == "/v1/messages"
    assert headers["x-api-key"] == "sk-test"
    assert asked["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert asked["max_tokens"] == 2560
    assert asked["system"].startswith("Be brief.")
    assert "temperature" not in asked
    assert "sk-test" not in json.dumps([asked, one.trace.text, backend.identity])
