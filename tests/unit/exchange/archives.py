"""Archives as other programs write them, and as no good program would: any method, any name, any lie in a header."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from zstandard import ZstdCompressor

STORED, DEFLATE, ZSTD = 0, 8, 93


def packed(data: bytes, method: int) -> bytes:
    """Data as a member of this method holds it."""
    if method == ZSTD:
        return ZstdCompressor(level=3).compress(data)
    if method == DEFLATE:
        worker = zlib.compressobj(9, zlib.DEFLATED, -15)
        return worker.compress(data) + worker.flush()
    return data


def archive(
    members: Mapping[str, object],
    method: int = ZSTD,
    *,
    directory: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> bytes:
    """A zip of members (bytes, or values written as JSON); `sizes` are lies about how large one is unpacked."""
    out, central = b"", b""
    for name, value in members.items():
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        body = packed(data, method)
        size = (sizes or {}).get(name, len(data))
        fields = (0, method, 0, 0, zlib.crc32(data), len(body), size, len(name.encode()))
        central += struct.pack("<4s2H4H3L5H2L", b"PK\1\2", 20, 20, *fields, 0, 0, 0, 0, 0, len(out)) + name.encode()
        out += struct.pack("<4sH4H3L2H", b"PK\3\4", 20, *fields, 0) + name.encode() + body
    if not directory:
        return out
    count = len(members)
    return out + central + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(out), 0)


def sample(uid: int, text: str, **more: object) -> dict[str, object]:
    """A sample of a log."""
    reply = {"role": "assistant", "id": f"m{uid}", "content": text}
    messages = [{"role": "user", "content": f"Problem {uid}"}, reply]
    return {"id": uid, "epoch": 1, "input": f"Problem {uid}", "target": "4", "messages": messages, **more}


def log(path: Path, members: Mapping[str, object], method: int = ZSTD) -> Path:
    """A file with a whole log of these members and a header."""
    head = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "a/b"}, "plan": {}}
    path.write_bytes(archive({"_journal/start.json": head, **members, "header.json": head}, method))
    return path
