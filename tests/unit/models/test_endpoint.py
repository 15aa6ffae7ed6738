"""The client of model servers, against real local servers: each answer, and each misbehaviour, its own test."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.unit.models.http_servers import Handler, Scripted, answers, chat, chunk, served, streams
from trainer.models.endpoint import (
    Ask,
    Delta,
    Dialect,
    Endpoint,
    EndpointSettings,
    Limits,
    Price,
    RefusedError,
    Reply,
    Retries,
    Turn,
    Usage,
)
from trainer.models.endpoint_limits import Meter, retry_after

QUESTION = Ask(turns=(Turn("system", "Be short."), Turn("user", "2 + 2?")), max_tokens=16)
KEY = "sk-very-secret-123"
AT_ONCE = Retries(most=3, first=0.001, longest=0.002)


def endpoint(server: Scripted, dialect: Dialect = Dialect.CHAT, key: str = "", **more: Any) -> Endpoint:
    return Endpoint(EndpointSettings(server.url, "m", dialect, **{"retries": AT_ONCE} | more), key)


class Stop(Exception):
    """What a cancelled worker raises."""


# -- what is sent and read --------------------------------------------------------------------------------------------


def test_a_chat_request_carries_all_that_was_asked_and_the_key_in_its_header_alone() -> None:
    ask = Ask(
        QUESTION.turns, max_tokens=9, temperature=0.5, top_p=0.9, n=1, seed=7, stop=("\n",), top_logprobs=2,
        thinking_budget=64, extra={"top_k": 5},
    )  # fmt: skip
    with served(answers(chat())) as server:
        endpoint(server, key=KEY).ask(ask)
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "m", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["\n"], "logprobs": True,
        "top_logprobs": 2, "thinking_token_budget": 64, "top_k": 5,
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 2?"}],
    }  # fmt: skip


def test_usage_and_cost_are_counted() -> None:
    usage = {
        "prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 300},
    }  # fmt: skip
    with served(answers(chat(usage=usage))) as server:
        asked = endpoint(server, price=Price(input=2.0, output=10.0, cached=0.5))
        reply = asked.ask(QUESTION)
        asked.ask(QUESTION)
    assert reply.usage == Usage(1000, 500, 400, 300)
    assert reply.cost == pytest.approx((600 * 2.0 + 400 * 0.5 + 500 * 10.0) / 1e6)
    assert asked.spent.requests == 2
    assert asked.spent.usage == Usage(2000, 1000, 800, 600)
    assert asked.spent.cost == pytest.approx(2 * reply.cost)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "4", "reasoning_content": "two and two"},
        {"content": "4", "reasoning": "two and two"},
        {"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "two and "}, {"text": "two"}]},
        {"content": [{"type": "thinking", "thinking": "two and two"}, {"type": "text", "text": "4"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "two and two"}]},
                     {"type": "text", "text": "4"}]},
        {"content": "<think>two and two</think>\n4"},
        {"content": "two and two</think>4"},
    ],
)  # fmt: skip
def test_thinking_is_read_wherever_it_stands(message: dict[str, Any]) -> None:
    with served(answers(chat(message=message))) as server:
        choice = endpoint(server).ask(QUESTION).choices[0]
    assert (choice.text, choice.thinking) == ("4", "two and two")


def test_an_answer_without_thinking_has_none() -> None:
    with served(answers(chat(system_fingerprint="fp7"))) as server:
        reply = endpoint(server).ask(QUESTION)
    assert reply.choices[0].thinking is None
    assert (reply.text, reply.choices[0].finish, reply.fingerprint, reply.id) == ("4", "stop", "fp7", "r1")


def test_chat_logprobs_become_arrays() -> None:
    content = [
        {"token": "a", "logprob": -0.5,
         "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]},
        {"token": "c", "logprob": -2.0, "top_logprobs": [{"token": "d", "logprob": -0.25}]},
    ]  # fmt: skip
    with served(answers(chat(choice={"logprobs": {"content": content}, "token_ids": [5, 6]}))) as server:
        tokens = endpoint(server).ask(QUESTION).choices[0].tokens
    assert tokens is not None
    assert tokens.texts == ("a", "c")
    assert np.array_equal(tokens.logprobs, np.array([-0.5, -2.0], np.float32))
    assert tokens.ids is not None
    assert tokens.ids.tolist() == [5, 6]
    assert tokens.alternatives == ((("a", -0.5), ("b", -1.0)), (("d", -0.25),))


def test_completions_of_ids_with_several_answers() -> None:
    logprobs = {"tokens": ["x", "y"], "token_logprobs": [-1.5, None], "top_logprobs": [{"x": -1.5, "z": -3}, None]}
    choices = [
        {"index": 1, "text": "late", "finish_reason": "length"},
        {"index": 0, "text": "xy", "logprobs": logprobs},
    ]
    with served(answers({"model": "m", "choices": choices})) as server:
        reply = endpoint(server, Dialect.COMPLETIONS).ask(Ask(prompt=(1, 2, 3), n=2, top_logprobs=2))
    path, _, body = server.seen[0]
    assert (path, body["prompt"], body["n"], body["logprobs"]) == ("/v1/completions", [1, 2, 3], 2, 2)
    assert [choice.text for choice in reply.choices] == ["xy", "late"]
    tokens = reply.choices[0].tokens
    assert tokens is not None
    assert tokens.logprobs[0] == np.float32(-1.5)
    assert np.isnan(tokens.logprobs[1])
    assert tokens.alternatives == ((("x", -1.5), ("z", -3.0)), ())


def test_anthropic_messages() -> None:
    content = [
        {"type": "thinking", "thinking": "two and two", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "It is "}, {"type": "text", "text": "4"},
    ]  # fmt: skip
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7}
    answer = {"id": "msg_1", "model": "m", "content": content, "stop_reason": "end_turn", "usage": usage}
    with served(answers(answer)) as server:
        ask = Ask(QUESTION.turns, max_tokens=2048, seed=3, stop=("END",), thinking_budget=1024)
        reply = endpoint(server, Dialect.MESSAGES, KEY).ask(ask)
    path, headers, body = server.seen[0]
    assert path == "/v1/messages"
    assert headers["x-api-key"] == KEY
    assert headers["anthropic-version"] == "2023-06-01"
    assert body == {
        "model": "m", "max_tokens": 2048, "system": "Be short.", "stop_sequences": ["END"],
        "messages": [{"role": "user", "content": "2 + 2?"}], "thinking": {"type": "enabled", "budget_tokens": 1024},
    }  # fmt: skip
    assert (reply.text, reply.choices[0].thinking, reply.choices[0].finish) == ("It is 4", "two and two", "end_turn")
    assert reply.usage == Usage(100, 7, 90)
    assert reply.left_out == ("seed",)


def test_what_messages_cannot_do_is_said_before_anything_is_sent() -> None:
    with served(answers({})) as server:
        for ask in (Ask(QUESTION.turns, top_logprobs=0), Ask(QUESTION.turns, n=2), Ask()):
            with pytest.raises(ValueError, match=r"messages"):
                endpoint(server, Dialect.MESSAGES).ask(ask)
    assert server.seen == []


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_streamed_chat_is_told_as_it_comes_and_equals_the_whole() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}}
    token = {"content": [{"token": "4", "logprob": -0.125}]}
    last = chunk(content="4")
    last["choices"][0] |= {"logprobs": token, "finish_reason": "stop"}
    events = [
        chunk(role="assistant", content=""), chunk(reasoning_content="two "), chunk(reasoning_content="and two"),
        chunk(1, content="fo"), chunk(1, "stop", content="ur"), last, usage, "[DONE]",
    ]  # fmt: skip
    told: list[Delta] = []
    with served(streams(events)) as server:
        reply = endpoint(server).ask(QUESTION, on_delta=told.append)
    assert server.seen[0][2]["stream_options"] == {"include_usage": True}
    assert [(choice.text, choice.thinking) for choice in reply.choices] == [("4", "two and two"), ("four", None)]
    assert "".join(d.text for d in told if d.choice == 1) == "four"
    assert "".join(d.text for d in told if d.is_thinking) == "two and two"
    assert reply.usage == Usage(5, 4)
    assert reply.choices[0].tokens is not None
    assert reply.choices[0].tokens.logprobs.tolist() == [-0.125]


def test_a_streamed_completion_and_a_stream_without_the_last_line_break() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.begin_events()
        for text, finish in (("ab", None), ("c", "length")):
            handler.event({"choices": [{"index": 0, "text": text, "finish_reason": finish}]})
        handler.wfile.write(b": keep-alive\n\ndata: [DONE]")

    with served(script) as server:
        reply = endpoint(server, Dialect.COMPLETIONS).ask(Ask(prompt="x"), on_delta=lambda _: None)
    assert (reply.text, reply.choices[0].finish) == ("abc", "length")


def test_streamed_messages() -> None:
    events: list[object] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 12}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "zz"}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "4"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    told: list[Delta] = []
    with served(streams(events)) as server:
        reply = endpoint(server, Dialect.MESSAGES).ask(QUESTION, on_delta=told.append)
    assert told == [Delta(0, "hm", is_thinking=True), Delta(0, "4")]
    assert (reply.text, reply.choices[0].thinking, reply.choices[0].finish) == ("4", "hm", "end_turn")
    assert reply.usage == Usage(12, 9)


def test_a_server_that_does_not_stream_is_told_in_one_piece() -> None:
    told: list[Delta] = []
    with served(answers(chat("four"))) as server:
        endpoint(server).ask(QUESTION, on_delta=told.append)
    assert told == [Delta(0, "four")]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_requests_and_tokens_of_a_minute() -> None:
    now = 0.0
    meter = Meter(Limits(requests=3, tokens=100), lambda: now)
    assert meter.room(40)[0] == 0
    now = 10.0
    entry = meter.room(40)[1]
    assert meter.room(40) == (50.0, None)  # tokens: until the first leaves the window
    assert entry is not None
    meter.settle(entry, 5)
    assert meter.room(40)[1] is not None
    assert meter.room(1) == (50.0, None)  # requests
    now = 60.0
    assert meter.room(1)[1] is not None
    now = 200.0
    assert meter.room(1000)[1] is not None  # larger than a minute: alone


def test_waits_grow_and_obey_the_server() -> None:
    retries = Retries(first=1.0, longest=10.0)
    assert [retries.wait(tries, None, lambda: 1.0) for tries in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 8, 10, 10]
    assert retries.wait(3, None, lambda: 0.0) == 2.0
    assert retries.wait(1, 7.0, lambda: 0.0) == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "250", "retry-after": "1"}, 0.25), ({}, None),
     ({"retry-after": "soon"}, None), ({"retry-after": "Mon, 01 Jan 2024 00:00:30 GMT"}, 30.0),
     ({"retry-after": "Sun, 31 Dec 2023 00:00:00 GMT"}, 0.0), ({"retry-after": "inf"}, None)],
)  # fmt: skip
def test_every_form_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, datetime(2024, 1, 1, tzinfo=UTC)) == seconds


def test_many_requests_in_parallel_each_come_back_with_their_place() -> None:
    open_now, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2)

    def script(handler: Handler, number: int) -> None:
        nonlocal open_now, most
        question = handler.server.seen[number][2]["messages"][0]["content"]
        with lock:
            open_now += 1
            most = max(most, open_now)
        both.wait(60)  # passes only when two stand open at once
        with lock:
            open_now -= 1
        handler.json(chat(f"answer {question}") if question != "3" else {"error": {"code": 400, "message": "not 3"}})

    with served(script) as server:
        asked = endpoint(server, limits=Limits(parallel=2))
        found = dict(asked.ask_many(Ask((Turn("user", str(i)),)) for i in range(6)))
    assert most == 2
    assert isinstance(found.pop(3), RefusedError)
    assert {place: reply.text for place, reply in found.items() if isinstance(reply, Reply)} == {
        i: f"answer {i}" for i in (0, 1, 2, 4, 5)
    }


def test_many_requests_are_cancelled_at_once() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.server.free.wait(60)

    def check() -> None:
        if len(server.seen) >= 2:
            raise Stop

    with served(script) as server, pytest.raises(Stop):
        list(endpoint(server, limits=Limits(parallel=2)).ask_many([QUESTION] * 4, check=check))


def test_the_client_loads_nothing_heavy() -> None:
    code = "import sys, trainer.models.endpoint; print({'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
