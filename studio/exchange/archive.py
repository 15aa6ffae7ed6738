"""Reading a zip archive member by member: stored, deflate and zstd (method 93); any member at once, within limits.

Nothing is ever written to a path from an archive: names are only looked up. A member may not unpack to more than
`LARGEST_MEMBER` bytes, nor a large one to more than `HIGHEST_RATIO` times its size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from zstandard import ZstdDecompressor, ZstdError

from studio.exchange.reading import BrokenRecord

SIGN = b"PK\x03\x04"
LARGEST_MEMBER = 2 << 30
HIGHEST_RATIO = 500  # of unpacked to packed size; text repeats itself, but not more
SMALL = 32 << 20  # members up to here may have any ratio
LARGEST_TOTAL = 8 << 30  # of all members, where that is more than `HIGHEST_RATIO` times the archive
LARGEST_DIRECTORY = 512 << 20
STORED, DEFLATE, ZSTD = 0, 8, 93
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_TAIL = 65_557  # the end record with the longest comment


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: where its local header begins, how it is packed."""

    name: str
    method: int
    packed: int
    size: int
    crc: int
    offset: int
    encrypted: bool = False


class Archive:
    """An open archive. Without a central directory (cut off, or still being written) the members are read in order."""

    def __init__(self, path: Path, *, read: bool = True) -> None:
        self.path = path
        self.members: dict[str, Member] = {}
        self._count = 0  # of members, as the end of the file says
        self.twice: list[str] = []  # names that more than one member has: the last one counts
        self.torn: tuple[str, ...] = ()  # the member within which the file ends
        self._file: BinaryIO = path.open("rb")
        try:
            self._size = self._file.seek(0, 2)
            directory = self._directory()
            self.is_whole = directory is not None
            self.directory = directory or b""
            if not read:
                return
            members = list(() if directory is None else _entries(directory))
            if directory is not None and len(members) != self._count:
                self.is_whole = False
            if not self.is_whole:  # what the directory leaves out may lie there all the same
                known = {member.offset for member in members}
                members += [member for member in self._walk() if member.offset not in known]
            for member in members:
                if member.name in self.members:
                    self.twice.append(member.name)
                self.members[member.name] = member
            total = sum(member.size for member in self.members.values())
            if total > max(LARGEST_TOTAL, self._size * HIGHEST_RATIO):
                what = f"{self._size:,} bytes would unpack to {total:,}"
                raise BrokenRecord(what, "it is taken for a bomb and not unpacked")
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def unread(cls, path: Path) -> Archive:
        """An archive whose `directory` is not taken apart: `members` is empty."""
        return cls(path, read=False)

    def last(self, name: str) -> Member | None:
        """The last member of this name, looked for in the directory as it lies there."""
        at = self.directory.rfind(name.encode()) - _CENTRAL.size
        found = next(_entries(self.directory[at:]), None) if at >= 0 else None
        return found if found is not None and found.name == name else None

    def read_member(self, member: Member) -> bytes:
        """What a member holds. Raises BrokenRecord."""
        return read_member(self._file, member)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, name: str) -> bytes:
        """What a member holds. Raises BrokenRecord, KeyError."""
        return read_member(self._file, self.members[name])

    def _directory(self) -> bytes | None:
        start = max(0, self._size - _TAIL)
        self._file.seek(start)
        tail = self._file.read(_TAIL)
        at = tail.rfind(_END)
        if at < 0 or len(tail) < at + 22:
            return None
        self._count, size, offset = struct.unpack_from("<HLL", tail, at + 10)
        if 0xFFFFFFFF in (offset, size) or self._count == 0xFFFF:
            self._count, size, offset = self._end64(tail, at) or (self._count, size, offset)
        if size > LARGEST_DIRECTORY or offset + size > self._size:
            return None
        self._file.seek(offset)
        return self._file.read(size)

    def _end64(self, tail: bytes, at: int) -> tuple[int, int, int] | None:
        """Number of entries, size and place of the directory of a large archive."""
        locator = tail.rfind(_LOCATOR, 0, at)
        if locator < 0 or len(tail) < locator + 20:
            return None
        (place,) = struct.unpack_from("<Q", tail, locator + 8)
        if place > self._size:
            return None
        self._file.seek(place)
        head = self._file.read(56)
        if len(head) < 56 or not head.startswith(_END64):
            return None
        count, size, offset = struct.unpack_from("<QQQ", head, 32)
        return int(count), int(size), int(offset)

    def _walk(self) -> Iterator[Member]:
        """Members from their local headers; ends at the first that does not say its size, or is not whole."""
        at = 0
        while at + _LOCAL.size <= self._size:
            self._file.seek(at)
            head = self._file.read(_LOCAL.size)
            if not head.startswith(SIGN) or len(head) < _LOCAL.size:
                return
            _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(head)
            name = self._file.read(name_length)
            size, packed, _ = _large(self._file.read(extra_length), size, packed, 0)
            start = at + _LOCAL.size + name_length + extra_length
            if start + packed > self._size:
                self.torn = (name.decode("utf-8", "replace"),)
                return
            if flags & 8 and not packed:
                return
            yield Member(name.decode("utf-8", "replace"), method, packed, size, crc, at, bool(flags & 1))
            at = start + packed


def read_member(file: BinaryIO, member: Member) -> bytes:
    """What a member of the archive in this open file holds. Raises BrokenRecord."""
    file.seek(member.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(SIGN):
        raise BrokenRecord(f"no member at byte {member.offset}", "the archive is damaged")
    fields = _LOCAL.unpack(head)
    if file.read(fields[9]).decode("utf-8", "replace") != member.name:
        raise BrokenRecord("its name is not that of the archive's directory", "the archive is damaged; fetch it again")
    file.seek(fields[10], 1)
    data = file.read(member.packed)
    if len(data) < member.packed:
        raise BrokenRecord("the archive ends within it", "the file is cut off; fetch it again")
    return unpacked(member, data)


def unpacked(member: Member, data: bytes) -> bytes:
    """The content of a member from its packed bytes. Raises BrokenRecord for what is damaged, locked or a bomb."""
    if member.encrypted:
        raise BrokenRecord("it is locked by a password", "unlock the archive first")
    limit = min(LARGEST_MEMBER, max(SMALL, len(data) * HIGHEST_RATIO))
    if member.size > limit:
        raise BrokenRecord(
            f"{len(data):,} bytes would unpack to {member.size:,}", f"more than {limit:,} are not unpacked"
        )
    try:
        content = _unpack(member, data, limit)
    except (zlib.error, ZstdError, MemoryError) as error:
        raise BrokenRecord(f"it cannot be unpacked: {error}", "the archive is damaged; fetch it again") from error
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise BrokenRecord("its checksum does not fit", "the archive is damaged; fetch it again")
    return content


def _unpack(member: Member, data: bytes, limit: int) -> bytes:
    if member.method == STORED:
        return data
    if member.method == DEFLATE:
        worker = zlib.decompressobj(-15)
        content = worker.decompress(data, member.size + 1)
        return content if worker.eof or len(content) > member.size else content + worker.flush()
    if member.method == ZSTD:
        reader = ZstdDecompressor().stream_reader(data, read_across_frames=True)
        content = reader.read(member.size + 1)
        return bytes(content)
    raise BrokenRecord(f"it is packed by method {member.method}", "stored, deflate and zstd are known")


def _entries(data: bytes) -> Iterator[Member]:
    at = 0
    while at + _CENTRAL.size <= len(data) and data.startswith(b"PK\x01\x02", at):
        fields = _CENTRAL.unpack_from(data, at)
        flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length, offset = fields[10], fields[11], fields[12], fields[16]
        at += _CENTRAL.size
        name = data[at : at + name_length]
        extra = data[at + name_length : at + name_length + extra_length]
        size, packed, offset = _large(extra, size, packed, offset)
        yield Member(name.decode("utf-8", "replace"), method, packed, size, crc, offset, bool(flags & 1))
        at += name_length + extra_length + comment_length


def _large(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes beyond 4 GiB stand in an extra field, in this order, each only when its own place is full."""
    if 0xFFFFFFFF not in (size, packed, offset):
        return size, packed, offset
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            values = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            return tuple(next(values, each) if each == 0xFFFFFFFF else each for each in (size, packed, offset))  # type: ignore[return-value]
        at += 4 + length
    return size, packed, offset
