"""Real HTTP servers on this machine that behave, and misbehave, as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """One request, answered by the test's script."""

    server: Scripted
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
        try:
            self.server.script(self, number)
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up.set()
            self.close_connection = True

    def do_GET(self) -> None:
        self.json(self.server.listed)

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        self.raw(json.dumps(value).encode(), status, **{"Content_Type": "application/json"} | headers)

    def raw(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, value: object, name: str = "") -> None:
        data = value if isinstance(value, str) else json.dumps(value)
        head = f"event: {name}\r\n" if name else ""
        self.wfile.write(f"{head}data: {data}\r\n\r\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Scripted(ThreadingHTTPServer):
    """Answers by `script(handler, number of the request)`; `seen` keeps path, headers and body of every request."""

    daemon_threads = True

    def __init__(self, script: Callable[[Handler, int], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.lock, self.hung_up = script, threading.Lock(), threading.Event()
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.listed: object = {"status": "ready"}
        """What every GET answers."""
        self.free = threading.Event()
        """Set when the test is over: a script that hangs waits for it."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.hung_up.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def served(script: Callable[[Handler, int], None]) -> Iterator[Scripted]:
    """A server that runs while the block does."""
    with Scripted(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.free.set()
            server.shutdown()
            thread.join()


def chat(text: str = "4", **more: Any) -> dict[str, Any]:
    """A chat answer."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    return {"id": "r1", "model": "m", "choices": [choice], **more}


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A piece of a streamed chat answer."""
    return {"id": "r1", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def answers(*values: object) -> Callable[[Handler, int], None]:
    """A script: these answers in turn, the last one for ever."""

    def script(handler: Handler, number: int) -> None:
        handler.json(values[min(number, len(values) - 1)])

    return script


def streams(events: Sequence[object]) -> Callable[[Handler, int], None]:
    """A script: these events (text as it stands, anything else as JSON), then the end."""

    def script(handler: Handler, number: int) -> None:
        handler.begin_events()
        for event in events:
            handler.event(event)

    return script
