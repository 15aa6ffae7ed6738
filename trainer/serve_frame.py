"""What both servers of this package are: JSON over HTTP on this machine alone, until a signal ends them."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

HOST = "127.0.0.1"
LARGEST_BODY = 64 << 20  # bytes


class ServeError(Exception):
    """The server cannot start; the message says why and what to do."""


class JsonHandler(BaseHTTPRequestHandler):
    """One connection: bodies in, JSON out."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def body(self) -> bytes | None:
        """What was sent; None where that was refused, and answered so."""
        size = self.headers.get("Content-Length", "")
        if size.isdigit() and int(size) <= LARGEST_BODY:
            return self.rfile.read(int(size))
        self.close_connection = True  # what it sent has not been read
        self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send Content-Length, at most {LARGEST_BODY} bytes")
        return None

    def refuse(self, status: HTTPStatus, message: str) -> None:
        """Say what is wrong."""
        self.answer(status, {"error": message})

    def answer(self, status: HTTPStatus, value: object) -> None:
        """Send this as JSON."""
        body = msgspec.json.encode(value)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - the signature of the base class
        """Errors go to stderr, successful requests are not logged."""
        if "200" not in args:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {format % args}\n")


class LocalServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `port` 0 takes a free one. `stopping` is set before it ends."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[JsonHandler]) -> None:
        self.stopping = threading.Event()
        try:
            super().__init__((HOST, port), handler)
        except OSError as error:
            raise ServeError(f"cannot listen on {HOST}:{port}: {error.strerror}; choose another --port") from None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://{HOST}:{self.server_address[1]}"


def answer_until_stopped(make: Callable[[], LocalServer], source: Path) -> int:
    """Answer until SIGTERM or SIGINT; prints one line with the address once it is ready. Raises what `make` raises."""
    with make() as server:

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.stopping.set()
            threading.Thread(target=server.shutdown, daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        sys.stdout.write(f"{msgspec.json.encode({'address': server.address, 'model': str(source)}).decode()}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0
