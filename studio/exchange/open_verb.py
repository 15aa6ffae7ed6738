"""The verb open: what is in a file or folder of traces, without importing anything."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from studio.exchange import opening
from studio.exchange.foreign import ForeignTrace, Json, steps_of
from studio.exchange.opening import Opened

WIDTH = 90


def open_(args: argparse.Namespace) -> int:
    """`steplens open`: the files of a folder, the traces of a file, or one trace; 1 when a file cannot be opened."""
    if args.path.is_dir():
        return _folder(args.path, as_json=args.json)
    opened = opening.open_file(args.path, tuple(args.map))
    if args.trace is not None:
        return _trace(opened, args.trace, as_json=args.json)
    source = opened.source
    fields = "" if source.told.fields is None else source.told.fields.shown()
    if args.json:
        rows = [{"number": at, **asdict(row)} for at, row in enumerate(opened.rows, 1)]
        _write({"path": str(source.path), "format": source.format, "fields": fields, "traces": rows})
        return 0
    _say(f"{source.path}: {source.format}, {len(opened.rows):,} traces")
    if fields:
        _say(f"  fields: {fields}  (change by --map FIELD=NAME)")
    for at, row in enumerate(opened.rows, 1):
        mark = {1: "right", 0: "wrong"}.get(-1 if row.outcome is None else row.outcome, "")
        _say(f"{at:>7}  {row.sample:>12}  {row.epoch}  {mark:5}  {row.title[:WIDTH]}  {row.error}".rstrip())
    return 0


def _folder(path: Path, *, as_json: bool) -> int:
    found = list(opening.folder(path))
    if as_json:
        _write([{**asdict(each), "path": str(each.path)} for each in found])
    else:
        for each in found:
            _say(each.as_line(path))
    return 1 if any(each.problem for each in found) else 0


def _trace(opened: Opened, number: int, *, as_json: bool) -> int:
    if not 1 <= number <= len(opened.rows):
        _say(f"there are {len(opened.rows):,} traces; --trace counts from 1")
        return 1
    for trace in opened.traces(number - 1):
        if as_json:
            _write(as_json_value(trace))
            continue
        for message in trace.messages:
            for block in message.blocks:
                _say(f"--- {message.role}: {block.kind.value}")
                _say(trace.text[block.start : block.end])
    return 0


def as_json_value(trace: ForeignTrace) -> Json:
    """A trace as JSON: its text, its messages with their blocks, its steps."""
    said: dict[str, Any] = asdict(replace(trace, tokens=None))
    del said["tokens"]
    said["messages"] = [
        {"role": m.role, "blocks": [[b.kind.value, b.start, b.end] for b in m.blocks], **m.extra}
        for m in trace.messages
    ]
    said["steps"] = [[step.start, step.end] for step in steps_of(trace)]
    return said


def _write(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _say(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
