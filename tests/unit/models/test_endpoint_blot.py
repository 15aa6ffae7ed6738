"""A key that a server echoes in its answer reaches nobody, however the answer is cut."""

from __future__ import annotations

import random

import numpy as np

from tests.unit.models.http_servers import Handler, chat, chunk, served
from trainer.models.endpoint import Ask, Delta, Endpoint, EndpointSettings, Turn
from trainer.models.endpoint_blot import Blotter, blotted_choice
from trainer.models.endpoint_values import Choice, Tokens

KEY = "sk-ssk-s9"  # its beginning comes twice in it


def test_what_is_told_is_the_whole_text_without_the_key_however_it_is_cut() -> None:
    draw = random.Random(0)
    for _ in range(300):
        parts = [draw.choice([KEY, "s", "sk-", "sk-ssk-s", "the key ", "9", "\n"]) for _ in range(draw.randint(1, 9))]
        text, told = "".join(parts), list[Delta]()
        blotter, at = Blotter(KEY, told.append), 0
        while at < len(text):
            step = draw.randint(1, 6)
            blotter.take(Delta(0, text[at : at + step]))
            at += step
        blotter.flush()
        assert "".join(delta.text for delta in told) == text.replace(KEY, "***")


def test_thinking_is_told_whole_before_the_answer_begins() -> None:
    told: list[Delta] = []
    blotter = Blotter(KEY, told.append)
    blotter.take(Delta(0, "this ends in s", is_thinking=True))
    blotter.take(Delta(0, "42"))
    blotter.flush()
    assert [(delta.text, delta.is_thinking) for delta in told] == [("this ends in ", True), ("s", True), ("42", False)]


def test_tokens_that_would_spell_the_key_go_with_it() -> None:
    tokens = Tokens(("sk-", "ssk-s9"), np.zeros(2, np.float32))
    clean = Choice("nothing", None, "stop", tokens)
    assert blotted_choice(clean, KEY) is clean
    found = blotted_choice(Choice(f"it is {KEY}", f"{KEY}!", "stop", tokens, {"text": KEY}), KEY)
    assert (found.text, found.thinking, found.tokens, dict(found.raw)) == ("it is ***", "***!", None, {})


def test_an_echo_is_blotted_out_of_answers_and_streams() -> None:
    def echo(handler: Handler, _number: int) -> None:
        said = f"You are {handler.headers['Authorization']}, 7"
        if not handler.server.seen[-1][2].get("stream"):
            handler.json(chat(said), X_You=said)
            return
        handler.begin_events()
        for letter in said:
            handler.event(chunk(content=letter))
        handler.event(chunk(finish="stop"))
        handler.event("[DONE]")

    with served(echo) as server:
        endpoint = Endpoint(EndpointSettings(server.url, "m"), KEY)
        ask = Ask((Turn("user", "who am I?"),))
        whole = endpoint.ask(ask)
        told: list[Delta] = []
        streamed = endpoint.ask(ask, on_delta=told.append)
    assert whole.text == streamed.text == "".join(delta.text for delta in told) == "You are Bearer ***, 7"
    assert whole.headers["x-you"] == whole.text
