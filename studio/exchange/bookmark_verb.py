"""The verb bookmarks: lists them, writes them as span annotations, takes such a file in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from studio.exchange import annotation_file
from studio.store import bookmarks
from studio.store.bookmarks import Bookmark
from studio.workspace import Workspace


def bookmarks_(args: argparse.Namespace) -> int:
    """`steplens bookmarks`: 0 when there are some, or all of a file's are here; 1 otherwise."""
    with Workspace.open(args.workspace) as workspace:
        if args.take_in:
            taken = workspace.database.run(lambda c: annotation_file.read(c, Path(args.take_in)))
            _tell(args, {"new": taken.new, "known": taken.known, "left_out": taken.left_out}, [str(taken)])
            sys.stderr.writelines(f"{line}\n" for line in taken.left_out)
            return 1 if taken.left_out else 0
        with workspace.database.read() as c:
            found = bookmarks.every(c, limit=annotation_file.EVERY)
            wanted = [mark for mark in found if _fits(mark, args.trace, args.tag)]
            if args.export:
                count = annotation_file.write(c, Path(args.export), wanted)
                _tell(args, {"written": count, "path": args.export}, [f"{count:,} bookmarks written to {args.export}"])
            else:
                _tell(args, {"bookmarks": [msgspec.to_builtins(mark) for mark in wanted]}, map(_line, wanted))
    return 0 if wanted else 1


def _fits(mark: Bookmark, trace: int | None, tag: str) -> bool:
    return (trace is None or mark.trace_id == trace) and (not tag or tag in mark.tags)


def _line(mark: Bookmark) -> str:
    tags = " ".join(f"#{tag}" for tag in mark.tags)
    quote = " ".join(mark.quote.split())
    said = " ".join(part for part in (" ".join(mark.comment.split()), tags) if part)
    return f"{mark.trace_id:>8}  {mark.start:>8}  “{quote[:60]}{'…' if len(quote) > 60 else ''}”  {said}".rstrip()


def _tell(args: argparse.Namespace, document: dict[str, object], lines: Iterable[str]) -> None:
    if args.json:
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
