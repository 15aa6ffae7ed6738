"""A model behind an HTTP address: OpenAI-compatible chat and completions, and Anthropic messages. Torch-free.

    endpoint = Endpoint(EndpointSettings("http://127.0.0.1:8000/v1", "my-model"), key)
    reply = endpoint.ask(Ask(turns=(Turn("user", "2 + 2?"),)), check=worker.check)

`key` is handed in by who has it (`trainer.runtime.keys`): it stands in no settings, no message and no log. A request is
sent again after a lost connection, a time-out, 429 or 5xx, later each time and never sooner than the server asks; not
after a part of a streamed answer was told. `check` is called every 50 ms and may raise: the request then ends at once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from trainer.models.endpoint_blot import Blotter, blotted, blotted_choice
from trainer.models.endpoint_dialects import PATHS, ShapeError, body_of, choices_of, headers_of, parsed, usage_of
from trainer.models.endpoint_http import Answer, Exchange, Timeouts, events_of
from trainer.models.endpoint_limits import Limits, Meter, Retries, pause, retry_after
from trainer.models.endpoint_stream import Streamed
from trainer.models.endpoint_values import (
    Ask,
    BadAnswerError,
    Choice,
    Delta,
    Dialect,
    DownError,
    EmptyAnswerError,
    EndpointError,
    Price,
    RateLimitedError,
    RefusedError,
    Reply,
    SlowError,
    Turn,
    UnauthorisedError,
    Usage,
)

__all__ = [
    "Ask", "BadAnswerError", "Choice", "Delta", "Dialect", "DownError", "EmptyAnswerError", "Endpoint",
    "EndpointError", "EndpointSettings", "Limits", "Price", "RateLimitedError", "RefusedError", "Reply", "Retries",
    "SlowError", "Timeouts", "Turn", "UnauthorisedError", "Usage",
]  # fmt: skip

SHOWN = 300  # characters of a server's words in a message
BUSY_ANTHROPIC = 529
_MOVED = (301, 302, 303, 307, 308)
Check = Callable[[], None]


def _never() -> None:
    """Nobody cancels."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where a model is and how it is asked. `url` ends before `/chat/completions`, mostly in `/v1`."""

    url: str
    model: str
    dialect: Dialect = Dialect.CHAT
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    limits: Limits = field(default_factory=Limits)
    price: Price = field(default_factory=Price)


@dataclass(frozen=True, slots=True)
class Spent:
    """All that an endpoint has used: answered requests, tokens, cost."""

    requests: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0


class Endpoint:
    """Asks one model on one server; may be used by several threads."""

    def __init__(self, settings: EndpointSettings, key: str = "") -> None:
        self.settings = settings
        self._key = key
        self._meter = Meter(settings.limits)
        self._lock = threading.Lock()
        self._spent = Spent()

    def __repr__(self) -> str:
        return f"Endpoint({self.settings.url!r}, {self.settings.model!r})"

    @property
    def spent(self) -> Spent:
        """What has been used so far."""
        return self._spent

    def ask(self, ask: Ask, *, on_delta: Callable[[Delta], None] | None = None, check: Check = _never) -> Reply:
        """The answer; with `on_delta` it is streamed. Raises EndpointError, ValueError, and what `check` raises."""
        settings = self.settings
        body, left_out = body_of(settings.dialect, settings.model, ask, stream=on_delta is not None)
        raw = json.dumps(body, ensure_ascii=False).encode()
        guess = len(raw) // 4 + ask.max_tokens * ask.n  # about four bytes a token
        told, began, tries, lost = False, time.monotonic(), 0, Usage()  # lost: used for answers that were of no use

        def tell(delta: Delta) -> None:
            nonlocal told
            told = True
            assert on_delta is not None
            on_delta(delta)

        while True:
            tries += 1
            entry = self._meter.enter(guess, check)
            try:
                blotter = Blotter(self._key, tell)
                reply = self._once(raw, blotter.take if on_delta else None, check)
                blotter.flush()
                break
            except EndpointError as error:
                self._meter.settle(entry, error.partial.usage.output if error.partial else 0)
                if error.partial is not None:
                    lost += error.partial.usage
                    error.partial = replace(error.partial, usage=lost, cost=settings.price.cost(lost))
                if told or not error.again or tries > settings.retries.most:
                    raise self._final(error, tries) from error.__cause__
                pause(self._wait(error, tries), check)
        self._meter.settle(entry, reply.usage.input + reply.usage.output or guess)
        cost = settings.price.cost(reply.usage + lost)
        with self._lock:
            self._spent = Spent(self._spent.requests + 1, self._spent.usage + reply.usage, self._spent.cost + cost)
        return replace(reply, seconds=time.monotonic() - began, tries=tries, cost=cost, left_out=left_out)

    def ask_many(self, asks: Iterable[Ask], *, check: Check = _never) -> Iterator[tuple[int, Reply | EndpointError]]:
        """The answers as they come, with each request's place; one that failed for good comes as its error.

        At most `limits.parallel` are open; leaving early, or an error of `check`, ends those at once.
        """
        stop = threading.Event()

        def look() -> None:
            if stop.is_set():
                raise _Abandoned

        waiting, open_now = iter(enumerate(asks)), dict[Future[Reply], int]()
        with ThreadPoolExecutor(max(1, self.settings.limits.parallel), "ask") as pool:
            try:
                while True:
                    while len(open_now) < max(1, self.settings.limits.parallel) and (one := next(waiting, None)):
                        open_now[pool.submit(self.ask, one[1], check=look)] = one[0]
                    if not open_now:
                        return
                    check()
                    for done in wait(open_now, timeout=0.05, return_when=FIRST_COMPLETED).done:
                        place, error = open_now.pop(done), done.exception()
                        if error is not None and not isinstance(error, EndpointError):
                            raise error
                        yield place, error if error is not None else done.result()
            finally:
                stop.set()

    def call(
        self, path: str, body: Mapping[str, Any] | None = None, *, insist: bool = False, check: Check = _never
    ) -> Any:  # noqa: ANN401
        """One plain JSON call (GET without a body) to the server's root, such as `/load_weights`.

        With `insist` a server that is down is asked again as for an answer. Raises EndpointError.
        """
        raw = None if body is None else json.dumps(body).encode()
        tries = 0
        while True:
            tries += 1
            try:
                return self._call(self.settings.url.rstrip("/").removesuffix("/v1") + path, raw, check)
            except EndpointError as error:
                if not insist or not isinstance(error, DownError) or tries > self.settings.retries.most:
                    raise self._final(error, tries) from error.__cause__
                pause(self._wait(error, tries), check)

    def _call(self, url: str, raw: bytes | None, check: Check) -> Any:  # noqa: ANN401
        exchange = self._exchange(url, raw)
        for _ in exchange.pieces(check):
            pass
        self._need_ok(exchange.answer, url)
        if not exchange.answer.body:
            return None
        return self._json(exchange.answer.text, exchange.answer, url)

    # -- one try ------------------------------------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return self.settings.url.rstrip("/") + PATHS[self.settings.dialect]

    def _exchange(self, url: str, raw: bytes | None) -> Exchange:
        return Exchange(url, raw, headers_of(self.settings.dialect, self._key), self.settings.timeouts)

    def _once(self, raw: bytes, tell: Callable[[Delta], None] | None, check: Check) -> Reply:
        exchange = self._exchange(self._url, raw)
        answer = exchange.answer
        with closing(exchange.pieces(check)) as pieces:
            next(pieces, b"")  # the status and the headers
            if answer.status == HTTPStatus.OK and "text/event-stream" in answer.headers.get("content-type", ""):
                return self._streamed(pieces, answer, tell)
            for _ in pieces:
                pass
        self._need_ok(answer, self._url)
        found = self._json(answer.text, answer, self._url)
        self._need_no_error(found, answer)
        try:
            choices = choices_of(self.settings.dialect, found)
        except ShapeError as error:
            raise BadAnswerError(
                f"{self._url}: the answer is no {self.settings.dialect.value} answer: {error}; check the address and "
                "the dialect",
                status=answer.status, received=answer.text,
            ) from None  # fmt: skip
        reply = self._reply(choices, usage_of(self.settings.dialect, found), found, answer)
        self._need_text(reply, answer)
        if tell is not None:  # a server that does not stream
            for index, choice in enumerate(choices):
                tell(Delta(index, choice.text))
        return reply

    def _streamed(self, pieces: Iterator[bytes], answer: Answer, tell: Callable[[Delta], None] | None) -> Reply:
        streamed = Streamed(self.settings.dialect)

        def partial() -> Reply:
            return self._reply(streamed.choices, streamed.usage, streamed.head, answer)

        try:
            for _, data in events_of(pieces):
                event = None if data.strip() == "[DONE]" else self._json(data, answer, self._url)
                if event is not None:
                    self._need_no_error(event, answer)
                for delta in streamed.take(data, event):
                    if tell is not None:
                        tell(delta)
        except EndpointError as error:
            error.partial = partial()
            raise
        except ShapeError as error:
            raise BadAnswerError(
                f"{self._url}: an event cannot be read: {error}", status=answer.status, received=answer.text,
                partial=partial(),
            ) from None  # fmt: skip
        reply = partial()
        if not streamed.whole:
            raise BadAnswerError(
                f"{self._url}: the answer was cut off in the middle; ask again, or look at the server's log",
                status=answer.status, received=answer.text, partial=reply,
            )  # fmt: skip
        self._need_text(reply, answer)
        return reply

    def _reply(self, choices: tuple[Choice, ...], usage: Usage, head: Mapping[str, Any], answer: Answer) -> Reply:
        def word(name: str) -> str:
            return self._scrubbed(head[name]) if isinstance(head.get(name), str) else ""

        model = word("model") or self.settings.model
        choices = tuple(blotted_choice(choice, self._key) for choice in choices)
        headers = {name: self._scrubbed(value) for name, value in answer.headers.items()}
        return Reply(choices, usage, model, word("system_fingerprint"), word("id"), headers=headers)

    # -- what can be wrong --------------------------------------------------------------------------------------------

    def _need_ok(self, answer: Answer, url: str, words: str = "") -> None:
        status = answer.status
        if status == HTTPStatus.OK:
            return
        known: dict[str, Any] = {"status": status, "received": self._scrubbed(answer.text)}
        known["wait"] = retry_after(answer.headers)
        said = f"{url} answered {status}: {self._words(words or answer.text)}"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise UnauthorisedError(f"{said}; check the key, and that it may use this model", **known)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RateLimitedError(f"{said}; ask less often, or later", **known)
        if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT):
            raise SlowError(f"{said}; ask for fewer tokens, or later", **known)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DownError(f"{said}; try again, or look at the server's log", **known)
        if status in _MOVED and (there := answer.headers.get("location")):
            where = self._words(there)
            raise RefusedError(f"{url} sends on to {where}, which is not followed; give that address", **known)
        if status == HTTPStatus.NOT_FOUND:
            raise RefusedError(f"{said}; check the address (it mostly ends in /v1) and the model's name", **known)
        raise RefusedError(f"{said}; change the request", **known)

    def _need_no_error(self, found: Mapping[str, Any], answer: Answer) -> None:
        """Some servers say 200 and then an error, in a stream or instead of an answer."""
        error = found.get("error")
        if not error:
            return
        given = error if isinstance(error, Mapping) else {"message": str(error)}
        code = given.get("code") or found.get("code")
        kinds = {"overloaded_error": BUSY_ANTHROPIC, "rate_limit_error": 429, "authentication_error": 401}
        status = code if isinstance(code, int) else kinds.get(str(given.get("type")), 500)
        self._need_ok(
            Answer(max(status, 400), answer.headers, answer.body), self._url, str(given.get("message", given))
        )

    def _need_text(self, reply: Reply, answer: Answer) -> None:
        if any(choice.text.strip() or (choice.thinking or "").strip() for choice in reply.choices):
            return
        if any(choice.tokens is not None and len(choice.tokens.texts) for choice in reply.choices):
            return  # tokens without a text are an answer too: an end of text, for one
        finish = reply.choices[0].finish if reply.choices else ""
        why = f"finished with {finish!r}" if finish else "without a word why"
        raise EmptyAnswerError(
            f"{self._url}: the answer is empty ({why}); grant more tokens, or change the prompt",
            status=answer.status, received=answer.text, partial=reply,
        )  # fmt: skip

    def _json(self, text: str, answer: Answer, url: str) -> Any:  # noqa: ANN401
        try:
            found = parsed(text)
        except ValueError as error:
            kind = answer.headers.get("content-type", "no type")
            raise BadAnswerError(
                f"{url}: the answer is no JSON ({kind}; {error}): {self._words(text)}; check the address",
                status=answer.status, received=answer.text,
            ) from None  # fmt: skip
        if not isinstance(found, Mapping):
            raise BadAnswerError(
                f"{url}: the answer is no JSON object: {self._words(text)}", status=answer.status, received=answer.text
            )
        return found

    def _wait(self, error: EndpointError, tries: int) -> float:
        try:
            return self.settings.retries.wait(tries, error.wait)
        except ValueError as why:
            raise self._final(error, tries, f" ({why})") from None

    def _final(self, error: EndpointError, tries: int, why: str = "") -> EndpointError:
        """The error with the number of tries, of the same kind."""
        text = f"{error}{f' ({tries} tries)' if tries > 1 else ''}{why}"
        known = {"status": error.status, "received": self._scrubbed(error.received)}
        return type(error)(self._scrubbed(text), partial=error.partial, wait=error.wait, **known)  # type: ignore[arg-type]

    def _words(self, text: str) -> str:
        """What the server said, short and without the key."""
        try:
            found = parsed(text)
            error = found.get("error") if isinstance(found, dict) else None
            text = str(error.get("message", error) if isinstance(error, dict) else error or text)
        except ValueError:
            pass  # not JSON: its plain words are shown
        text = " ".join(self._scrubbed(text).split())
        return text[:SHOWN] + ("..." if len(text) > SHOWN else "") or "nothing"

    def _scrubbed(self, text: str) -> str:
        return blotted(text, self._key)


class _Abandoned(Exception):
    """Nobody waits for this request any more."""
