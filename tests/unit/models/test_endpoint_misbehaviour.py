"""Model servers that misbehave: each way is an error of its own kind, a wait or another try; no key stands in it."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from tests.unit.models.http_servers import Handler, answers, chat, chunk, served, streams
from tests.unit.models.test_endpoint import AT_ONCE, KEY, QUESTION, Stop, endpoint
from trainer.models.endpoint import (
    BadAnswerError,
    DownError,
    EmptyAnswerError,
    Endpoint,
    EndpointError,
    EndpointSettings,
    RateLimitedError,
    RefusedError,
    Retries,
    SlowError,
    Timeouts,
    UnauthorisedError,
)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        asked = Endpoint(EndpointSettings(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "m", retries=AT_ONCE))
        with pytest.raises(DownError, match=r"refused; check the address, and that the server runs \(4 tries\)"):
            asked.ask(QUESTION)


def test_an_address_that_is_none() -> None:
    with pytest.raises(EndpointError, match="no address of a server"):
        Endpoint(EndpointSettings("localhost:8000", "m")).ask(QUESTION)


def test_a_server_that_never_answers() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.server.free.wait(60)

    with served(script) as server, pytest.raises(SlowError, match=r"no answer for 0\.2 s"):
        endpoint(server, timeouts=Timeouts(first=0.2), retries=Retries(most=0)).ask(QUESTION)


def test_a_server_that_falls_silent_keeps_what_it_said() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.begin_events()
        handler.event(chunk(content="The answer"))
        handler.server.free.wait(60)

    with served(script) as server, pytest.raises(SlowError, match=r"silence for 0\.3 s") as caught:
        endpoint(server, timeouts=Timeouts(between=0.3)).ask(QUESTION, on_delta=lambda _: None)
    assert len(server.seen) == 1  # a told answer is not asked for again
    assert caught.value.partial is not None
    assert caught.value.partial.text == "The answer"
    assert "The answer" in caught.value.received


def test_a_server_that_drips_for_ever_is_ended_by_the_total() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.begin_events()
        while not handler.server.free.wait(0.02):
            handler.event(chunk(content="."))

    with served(script) as server, pytest.raises(SlowError, match=r"not done after 0\.5 s") as caught:
        endpoint(server, timeouts=Timeouts(total=0.5)).ask(QUESTION, on_delta=lambda _: None)
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("...")


def test_a_web_page_instead_of_json() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.raw(b"<html>Welcome</html>", Content_Type="text/html")

    with served(script) as server, pytest.raises(BadAnswerError, match=r"no JSON \(text/html.*Welcome") as caught:
        endpoint(server).ask(QUESTION)
    assert caught.value.received == "<html>Welcome</html>"


@pytest.mark.parametrize(
    "answer",
    [{"result": 4}, {"choices": []}, {"choices": ["4"]}, {"choices": [{"message": {"content": 4}}]}, [1, 2]],
)
def test_json_of_another_shape(answer: object) -> None:
    with served(answers(answer)) as server, pytest.raises(BadAnswerError) as caught:
        endpoint(server, retries=Retries(most=0)).ask(QUESTION)
    assert caught.value.received


def test_a_body_that_ends_too_early_is_asked_for_again() -> None:
    def script(handler: Handler, number: int) -> None:
        if number == 0:
            handler.raw(b'{"choices": [', length=500)
            handler.close_connection = True
        else:
            handler.json(chat())

    with served(script) as server:
        reply = endpoint(server).ask(QUESTION)
    assert (reply.text, reply.tries) == ("4", 2)


def test_a_stream_that_ends_in_the_middle() -> None:
    with (
        served(streams([chunk(content="The answ")])) as server,
        pytest.raises(BadAnswerError, match="cut off") as caught,
    ):
        endpoint(server).ask(QUESTION, on_delta=lambda _: None)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "The answ"


def test_a_stream_with_a_broken_event() -> None:
    events = [chunk(content="one"), '{"choices": [{"ind']
    with served(streams(events)) as server, pytest.raises(BadAnswerError, match="no JSON") as caught:
        endpoint(server).ask(QUESTION, on_delta=lambda _: None)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "one"


def test_an_error_within_a_stream() -> None:
    events = [chunk(content="one"), {"error": {"type": "overloaded_error", "message": "Overloaded"}}]
    with served(streams(events)) as server, pytest.raises(DownError, match="529: Overloaded"):
        endpoint(server).ask(QUESTION, on_delta=lambda _: None)


def test_an_error_with_status_200() -> None:
    answer = {"error": {"code": 401, "message": "No such key"}}
    with served(answers(answer)) as server, pytest.raises(UnauthorisedError, match="No such key"):
        endpoint(server).ask(QUESTION)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_answer(text: str) -> None:
    answer = chat(text, choice={"finish_reason": "length"})
    with (
        served(answers(answer)) as server,
        pytest.raises(EmptyAnswerError, match=r"'length'.*grant more tokens") as caught,
    ):
        endpoint(server).ask(QUESTION)
    assert len(server.seen) == 4
    assert caught.value.partial is not None


def test_a_missing_content_with_a_null() -> None:
    with served(answers(chat(message={"content": None}), chat("4"))) as server:
        assert endpoint(server).ask(QUESTION).tries == 2


def test_rate_limits_are_waited_for_as_long_as_the_server_says() -> None:
    def script(handler: Handler, number: int) -> None:
        if number == 0:
            handler.json({"error": {"message": "slow down"}}, 429, Retry_After="0.3")
        else:
            handler.json(chat())

    with served(script) as server:
        reply = endpoint(server).ask(QUESTION)
    assert reply.tries == 2
    assert reply.seconds >= 0.3


def test_a_wait_that_is_too_long_is_refused() -> None:
    def script(handler: Handler, number: int) -> None:
        handler.json({"error": "quota used up"}, 429, Retry_After="86400")

    with served(script) as server, pytest.raises(RateLimitedError, match=r"quota used up.*asks to wait 86400 s"):
        endpoint(server).ask(QUESTION)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind", "sent"),
    [(401, UnauthorisedError, 1), (403, UnauthorisedError, 1), (404, RefusedError, 1), (400, RefusedError, 1),
     (429, RateLimitedError, 4), (500, DownError, 4), (503, DownError, 4), (529, DownError, 4), (408, SlowError, 4)],
)  # fmt: skip
def test_each_status_is_a_kind_of_error(status: int, kind: type[EndpointError], sent: int) -> None:
    def script(handler: Handler, number: int) -> None:
        handler.json({"error": {"message": f"no, {KEY} is not it"}}, status)

    with served(script) as server, pytest.raises(kind, match=rf"answered {status}: no, \*\*\* is not it") as caught:
        endpoint(server, key=KEY).ask(QUESTION)
    assert len(server.seen) == sent
    assert caught.value.status == status
    assert KEY not in caught.value.received


def test_the_key_stands_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    def script(handler: Handler, number: int) -> None:
        handler.raw(f"echo {handler.headers['Authorization']}".encode(), Content_Type="text/plain")

    with caplog.at_level(logging.DEBUG), served(script) as server:
        asked = endpoint(server, key=KEY)
        with pytest.raises(BadAnswerError) as caught:
            asked.ask(QUESTION)
    assert "echo Bearer ***" in str(caught.value)
    for text in (
        str(caught.value),
        repr(caught.value),
        caught.value.received,
        repr(asked),
        str(asked.settings),
        caplog.text,
    ):
        assert KEY not in text


@pytest.mark.parametrize("streamed", [True, False])
def test_a_cancel_ends_the_request_at_once_and_hangs_up(streamed: bool) -> None:
    told = threading.Event()

    def script(handler: Handler, number: int) -> None:
        if streamed:
            handler.begin_events()
            while not handler.server.free.wait(0.01):
                handler.event(chunk(content="."))
        else:
            told.set()
            handler.server.free.wait(60)

    def check() -> None:
        if told.is_set():
            raise Stop

    with served(script) as server:
        with pytest.raises(Stop):
            endpoint(server).ask(QUESTION, on_delta=(lambda _: told.set()) if streamed else None, check=check)
        if streamed:
            assert server.hung_up.wait(60)


@pytest.mark.parametrize(("insist", "sent"), [(False, 1), (True, 3)])
def test_a_plain_call_insists_where_it_may(insist: bool, sent: int) -> None:
    def script(handler: Handler, number: int) -> None:
        handler.json({"error": "starting"} if number < 2 else {"version": 3}, 503 if number < 2 else 200)

    with served(script) as server:
        if insist:
            assert endpoint(server).call("/load_weights", {"version": 3}, insist=True) == {"version": 3}
        else:
            with pytest.raises(DownError, match="starting"):
                endpoint(server).call("/load_weights", {"version": 3})
    assert [path for path, *_ in server.seen] == ["/load_weights"] * sent


def test_a_cancel_while_waiting_for_the_next_try() -> None:
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if len(server.seen) == 1:
            raise Stop

    def script(handler: Handler, number: int) -> None:
        handler.json({}, 503, Retry_After="500")

    with served(script) as server, pytest.raises(Stop):
        endpoint(server).ask(QUESTION, check=check)
    assert looks > 0
