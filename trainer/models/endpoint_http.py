"""One HTTP exchange in a thread of its own, so that a time-out or a cancel ends it at once, wherever it stands."""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trainer.models.endpoint_values import DownError, EndpointError, SlowError

LOOK = 0.05  # seconds between two looks at `check`
PIECE = 1 << 16
LARGEST = 1 << 28  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: until there is a connection, until the answer begins, between two pieces of it, in all."""

    connect: float = 10.0
    first: float = 600.0
    between: float = 120.0
    total: float = 900.0


@dataclass(slots=True)
class Answer:
    """What has come so far: the status (0 = none yet), headers in lower case, and the body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class Exchange:
    """A POST (or GET, without a body) under way. Iterate over `pieces`; leaving it early closes the connection."""

    def __init__(self, url: str, body: bytes | None, headers: Mapping[str, str], timeouts: Timeouts) -> None:
        """Raises EndpointError for an address that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(f"{url!r} is no address of a server; it begins with http:// or https://")
        self.url, self.answer = url, Answer()
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._body, self._headers, self._timeouts = body, dict(headers), timeouts
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeouts.connect, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeouts.connect)
        self._came: queue.Queue[bytes | BaseException | None] = queue.Queue()
        self._socket: socket.socket | None = None
        self._connected = threading.Event()
        self._given_up = threading.Event()

    def pieces(self, check: Callable[[], None]) -> Generator[bytes, None, None]:
        """The body as it comes; status and headers stand in `answer` with the first piece (an empty one at the latest).

        Raises DownError, SlowError, and whatever `check` raises. All received bytes are in `answer.body`.
        """
        threading.Thread(target=self._fetch, name="endpoint", daemon=True).start()
        began = heard = time.monotonic()
        try:
            while True:
                check()
                now = time.monotonic()
                self._patience(now - began, now - heard)
                try:
                    piece = self._came.get(timeout=LOOK)
                except queue.Empty:
                    continue
                heard = time.monotonic()
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise self._broken(piece) from piece
                self.answer.body += piece
                if len(self.answer.body) > LARGEST:
                    raise DownError(f"{self.url} sends more than {LARGEST >> 20} MB; ask for fewer tokens")
                yield piece
        finally:
            self._close()

    def _fetch(self) -> None:
        """In the thread: send, and put what comes into the queue."""
        try:
            connection = self._connection
            connection.connect()
            self._socket = connection.sock  # which `connection` forgets once a server says it will close
            self._connected.set()
            if self._given_up.is_set():
                self._hang_up()
                return
            self._socket.settimeout(None)  # the waiting side keeps the time
            connection.request("GET" if self._body is None else "POST", self._path, self._body, self._headers)
            response = connection.getresponse()
            self.answer.headers.update({name.lower(): value for name, value in response.getheaders()})
            self.answer.status = response.status
            self._came.put(b"")
            while piece := response.read1(PIECE):
                self._came.put(piece)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            self._came.put(None)
        except Exception as error:  # whatever it is, the waiting side tells it
            self._came.put(error)
        finally:
            self._connection.close()

    def _patience(self, whole: float, silent: float) -> None:
        times, answer = self._timeouts, self.answer
        if not self._connected.is_set():
            what, granted = "no connection", times.connect
        else:
            what, granted = ("silence", times.between) if answer.status else ("no answer", times.first)
        if silent > granted:
            advice = (
                "is it running there?" if what == "no connection" else "grant it more time, or ask for fewer tokens"
            )
            raise self._slow(f"{self.url}: {what} for {granted:g} s; {advice}")
        if whole > times.total:
            raise self._slow(
                f"{self.url}: not done after {times.total:g} s; grant it more time, or ask for fewer tokens"
            )

    def _slow(self, message: str) -> SlowError:
        return SlowError(message, status=self.answer.status, received=self.answer.text)

    def _broken(self, error: BaseException) -> EndpointError:
        known = {"status": self.answer.status, "received": self.answer.text}
        if isinstance(error, TimeoutError) and not self._connected.is_set():
            return SlowError(f"{self.url}: no connection for {self._timeouts.connect:g} s; is it running there?")
        if isinstance(error, ssl.SSLCertVerificationError):
            return EndpointError(
                f"{self.url}: its certificate is not trusted ({error.verify_message}); check the address"
            )
        if isinstance(error, (socket.gaierror, ConnectionRefusedError)):
            why = error.strerror or str(error)
            return DownError(f"{self.url}: {why}; check the address, and that the server runs")
        if isinstance(error, (OSError, http.client.HTTPException)):
            said = str(error) or type(error).__name__
            return DownError(f"{self.url}: the connection broke ({said}); try again", **known)  # type: ignore[arg-type]
        return EndpointError(f"{self.url}: {type(error).__name__}: {error}", **known)  # type: ignore[arg-type]

    def _close(self) -> None:
        self._given_up.set()
        if self._connected.is_set():
            self._hang_up()

    def _hang_up(self) -> None:
        """Wake the thread if it waits for bytes; a socket that is closed already needs none of it."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def events_of(pieces: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Server-sent events (name, data) of a stream of bytes; comments and keep-alives are passed over."""
    name, data = "", list[str]()
    for line in _lines(pieces):
        kind, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if kind == "data":
            data.append(value)
        elif kind == "event":
            name = value
        elif not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []
    if data:  # a server that closes without the empty line
        yield name, "\n".join(data)


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    left = b""
    for piece in pieces:
        *lines, left = (left + piece).split(b"\n")
        yield from (line.rstrip(b"\r").decode("utf-8", "replace") for line in lines)
    if left:
        yield left.decode("utf-8", "replace")
