"""A policy over HTTP in OpenAI's words, on this machine alone: what `steplens-trainer serve-policy MODEL` answers.

    GET  /health, /v1/models, /version      {"status": "ready"}, the model's name, {"version", "checksum"} served
    POST /v1/completions                    also lists of ids as prompt, `seeds`, `return_token_ids`
    POST /v1/chat/completions               thinking comes as `reasoning_content`
    POST /load_weights                      {"path", "version", "checksum"} -> {"version", "checksum"} now served

`thinking_token_budget` and `answer_token_budget` are kept to the token. Every answer names the weights that wrote it in
`system_fingerprint`. One request is written at a time, all its traces at once; one whose client has hung up is dropped.
"""

from __future__ import annotations

import bisect
import hmac
import select
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from trainer.models.generate import PromptError
from trainer.models.load import ModelError
from trainer.models.sampling import BudgetRule, Delta, Ended, Generated, Sampling
from trainer.models.served import Served, Serving, WeightsError, drawn_seeds
from trainer.prompts import PromptError as TemplateError
from trainer.reasoning.thinking import CLOSE
from trainer.serve_frame import JsonHandler, LocalServer, ServeError, answer_until_stopped
from trainer.serve_requests import (
    BadRequest,
    ChatBody,
    CompletionBody,
    WeightsBody,
    chat_logprobs,
    completion_logprobs,
    cut,
    parted,
    read_body,
)
from trainer.serve_stream import Stream

PATHS = "GET /health, /version, /v1/models and POST /v1/completions, /v1/chat/completions, /load_weights"
DEFAULT_TOKENS = {True: 1024, False: 256}  # by whether it is a chat
FINISH = {Ended.STOP: "stop", Ended.TEXT: "stop"}


class _HungUp(Exception):
    """The client has gone; nobody waits for the answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """A request as the decoder takes it."""

    body: CompletionBody | ChatBody
    prompts: tuple[tuple[int, ...], ...]
    sampling: Sampling
    seeds: tuple[int, ...]
    begun: bool

    @property
    def is_chat(self) -> bool:
        """Whether it came in messages."""
        return isinstance(self.body, ChatBody)


def task_of(served: Served, body: CompletionBody | ChatBody) -> Task:
    """What is to be written. Raises BadRequest."""
    begun = False
    try:
        if isinstance(body, ChatBody):
            turns = [{"role": turn.role, "content": turn.text} for turn in body.messages]
            if not turns:
                raise BadRequest("messages: send at least one")
            asked = served.chat_ids(turns, body.thinking_token_budget)
            prompts: tuple[tuple[int, ...], ...] = (asked.ids,)
            begun = asked.begun or body.thinking_token_budget is not None
        else:
            prompts = tuple(served.ids_of(one) if isinstance(one, str) else one for one in body.prompts)
        sampling = _sampling(body)
    except (TemplateError, ValueError) as error:
        raise BadRequest(str(error)) from None
    count = len(prompts) * body.n
    if body.seeds is not None and len(body.seeds) != count:
        raise BadRequest(f"seeds: {len(body.seeds)} for {count} traces; send one a trace, prompt by prompt")
    return Task(body, prompts, sampling, body.seeds or tuple(drawn_seeds(count, body.seed)), begun)


def _sampling(body: CompletionBody | ChatBody) -> Sampling:
    is_chat = isinstance(body, ChatBody)
    asked = body.max_tokens or (body.max_completion_tokens if isinstance(body, ChatBody) else None)
    thinking, answer = body.thinking_token_budget, body.answer_token_budget
    rule = BudgetRule(thinking=thinking, answer=answer) if thinking is not None or answer is not None else None
    most = asked or DEFAULT_TOKENS[is_chat]
    return Sampling(body.temperature, body.top_p, most, stop_texts=body.stops, budget=rule)


class Answers:
    """Written traces in the words of a request's form."""

    def __init__(self, served: Served, task: Task) -> None:
        self._served, self._task = served, task
        self.id = ("chatcmpl-" if task.is_chat else "cmpl-") + uuid.uuid4().hex
        self.created = int(time.time())

    def head(self, serving: Serving, *, chunk: bool = False) -> dict[str, Any]:
        """What begins every answer and every piece of one."""
        kind = "chat.completion" + (".chunk" if chunk else "") if self._task.is_chat else "text_completion"
        return {
            "id": self.id, "object": kind, "created": self.created, "model": self._served.name,
            "system_fingerprint": serving.fingerprint,
        }  # fmt: skip

    def whole(self, serving: Serving, made: list[list[Generated]], others: list[list[Any]]) -> dict[str, Any]:
        """The whole answer."""
        flat = [one for of_prompt in made for one in of_prompt]
        tops = [one for of_prompt in others for one in of_prompt]
        choices = [self._choice(index, one, tops[index]) for index, one in enumerate(flat)]
        return self.head(serving) | {"choices": choices, "usage": self.usage(flat)}

    def usage(self, made: Sequence[Generated]) -> dict[str, Any]:
        """Tokens read and written."""
        read, written = sum(map(len, self._task.prompts)), sum(len(one.ids) for one in made)
        thinking = sum(map(self._reasoning, made))
        used = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return used | {"completion_tokens_details": {"reasoning_tokens": thinking}}

    def _reasoning(self, one: Generated) -> int:
        """Tokens before the mark that ends the thinking: as the budget counted them, else by their text."""
        if one.thinking_ended is not None:
            return max(0, one.thinking_tokens)
        text = self.text(one)
        if not self._task.is_chat or parted(text, begun=self._task.begun)[0] is None:
            return 0
        place, ids = text.find(CLOSE), one.ids.tolist()
        if place < 0:
            return len(ids)
        within = range(len(ids) + 1)  # texts of more tokens are no shorter
        return bisect.bisect_right(within, place, key=lambda n: len(self._served.tokens.text(ids[:n]))) - 1

    def text(self, one: Generated) -> str:
        """A trace's text, without what ended it."""
        ids = one.ids.tolist()
        if ids and one.ended is Ended.STOP and ids[-1] in self._served.stop_ids:
            ids.pop()
        text = self._served.tokens.text(ids)
        return cut(text, self._task.body.stops) if one.ended is Ended.TEXT else text

    @staticmethod
    def finish(one: Generated) -> str:
        """Why a trace ended."""
        return FINISH.get(one.ended, "length")

    def logprobs(
        self, ids: Sequence[int], values: Sequence[float], others: Sequence[Any] = ()
    ) -> dict[str, Any] | None:
        """Log-probs of some tokens, where they were asked for."""
        if self._task.body.alternatives is None:
            return None
        form = chat_logprobs if self._task.is_chat else completion_logprobs
        return form([self._served.piece(token) for token in ids], values, others)

    def _choice(self, index: int, one: Generated, others: list[Any]) -> dict[str, Any]:
        text, ids = self.text(one), one.ids.tolist()
        out: dict[str, Any] = {"index": index, "finish_reason": self.finish(one)}
        if self._task.is_chat:
            thinking, answer = parted(text, begun=self._task.begun)
            said = {} if thinking is None else {"reasoning_content": thinking}
            out["message"] = {"role": "assistant", "content": answer, **said}
        else:
            out["text"] = text
        out["logprobs"] = self.logprobs(ids, one.logprobs.tolist(), others)
        if self._task.body.return_token_ids:
            out |= {"token_ids": ids, "steplens": particulars(one)}
        return out


def particulars(one: Generated) -> dict[str, Any]:
    """What our own clients want to know of a trace beyond OpenAI's words; `forced` are places of tokens."""
    return {
        "entropy": one.entropy.tolist(), "forced": one.forced.nonzero()[0].tolist(), "ended": one.ended.value,
        "thinking_tokens": one.thinking_tokens, "answer_tokens": one.answer_tokens,
        "thinking_ended": None if one.thinking_ended is None else one.thinking_ended.value,
    }  # fmt: skip


class _Handler(JsonHandler):
    """One connection; the policy hangs on the server."""

    server: PolicyServer

    def do_GET(self) -> None:
        """/health, /version and /v1/models."""
        served = self.server.served
        if self.path == "/health":
            self.answer(HTTPStatus.OK, {"status": "ready"})
        elif self.path == "/version":
            self.answer(HTTPStatus.OK, served.serving)
        elif self.path == "/v1/models":
            about = {"id": served.name, "object": "model", "owned_by": "steplens", "max_model_len": served.context}
            self.answer(HTTPStatus.OK, {"object": "list", "data": [about]})
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; there are {PATHS}")

    def do_POST(self) -> None:
        """The two forms of request, and new weights."""
        raw = self.body()
        if raw is None:
            return
        given, expected = self.headers.get("Authorization", ""), self.server.expected
        if expected and not hmac.compare_digest(given.encode(), expected.encode()):
            self.refuse(HTTPStatus.UNAUTHORIZED, "this server wants its key: send it as Authorization: Bearer KEY")
            return
        if self.headers.get_content_type() != "application/json":  # what a foreign web page may send without asking
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json")
            return
        try:
            if self.path == "/load_weights":
                self._load(raw)
            elif self.path in ("/v1/completions", "/v1/chat/completions"):
                kind = ChatBody if "chat" in self.path else CompletionBody
                self._write(task_of(self.server.served, read_body(raw, kind)))
            else:
                self.refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; there are {PATHS}")
        except (BadRequest, PromptError) as error:
            self.refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (_HungUp, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (RuntimeError, ValueError, MemoryError) as error:
            self.log_error("writing failed: %s", error)
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"writing failed: {error}")

    def _load(self, raw: bytes) -> None:
        try:
            body = msgspec.json.decode(raw, type=WeightsBody)
        except msgspec.MsgspecError as error:
            raise BadRequest(f"the body cannot be read: {error}") from None
        try:
            serving = self.server.load_weights(Path(body.path), body.version, body.checksum)
        except (WeightsError, OSError) as error:
            self.refuse(HTTPStatus.CONFLICT, str(error))
            return
        self.answer(HTTPStatus.OK, serving)

    def _write(self, task: Task) -> None:
        served, answers = self.server.served, Answers(self.server.served, task)
        stream = Stream(served, task, answers, self._event) if task.body.stream else None
        begun = False

        def tell(deltas: Sequence[Delta]) -> None:
            nonlocal begun
            assert stream is not None
            if not begun:
                self._begin_events()
                begun = True
            stream.tell(deltas)

        try:
            serving, made, others = served.write(
                task.prompts, task.sampling, n=task.body.n, seeds=task.seeds, check=self._check,
                on_tokens=None if stream is None else tell,
                alternatives=task.body.alternatives or 0,
            )  # fmt: skip
        except (PromptError, RuntimeError, ValueError, MemoryError) as error:
            if not begun:
                raise
            self._event(msgspec.json.encode({"error": {"message": str(error), "code": 500}}).decode())
            return
        if stream is None:
            self.answer(HTTPStatus.OK, answers.whole(serving, made, others))
        else:
            stream.end(made)

    def _check(self) -> None:
        """Whether anybody still waits. Raises _HungUp."""
        if self.server.stopping.is_set():
            raise _HungUp
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise _HungUp

    def _begin_events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())

    def refuse(self, status: HTTPStatus, message: str) -> None:
        """Say what is wrong, in OpenAI's form."""
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        self.answer(status, {"error": {"message": message, "type": kind, "code": int(status)}})


class PolicyServer(LocalServer):
    """Writes; `port` 0 takes a free one. With a `key`, requests must carry it."""

    def __init__(self, served: Served, port: int, key: str = "") -> None:
        self.served = served
        self.expected = f"Bearer {key}" if key else ""
        super().__init__(port, _Handler)

    def load_weights(self, folder: Path, version: int, checksum: str) -> Serving:
        """Serve other weights. Raises WeightsError."""
        return self.served.load_weights(folder, version, checksum)


def serve(source: Path, *, port: int, device: str = "cpu", key: str = "") -> int:
    """Answer until SIGTERM or SIGINT; prints one line with the address once it is ready. Raises ServeError."""
    try:
        served = Served(source, device=device)
    except ModelError as error:
        raise ServeError(str(error)) from None
    return answer_until_stopped(lambda: PolicyServer(served, port, key), source)
