"""The verb `export` for traces: as Inspect's JSON, OTLP JSON or JSON Lines, which come back here as they were."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from studio.errors import CancelledError, SteplensError
from studio.exchange import own_traces, report_text, trace_report
from studio.exchange.own_traces import ATTRIBUTE, KEY, OwnTrace, seal
from studio.exchange.telling import Progress, Stop, Teller
from studio.workspace import Workspace

FORMS = ("inspect", "otlp", "jsonl")


@dataclass(frozen=True, slots=True)
class TracesReport:
    """What was written."""

    path: str
    traces: int
    size: int
    seconds: float

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.traces:,} traces in {self.path}, {self.size:,} bytes, {self.seconds:.1f} s"


def export_traces(
    workspace: Workspace, out: Path, ids: Sequence[int], form: str, *, tell: Progress, stop: Stop
) -> TracesReport:
    """Write traces; a cancelled or failed export leaves nothing. Raises CancelledError and SteplensError."""
    began = time.perf_counter()
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with workspace.database.read() as c, aside.open("w", encoding="utf-8", newline="\n") as stream:
            for number, piece in enumerate(pieces(c, ids, form)):
                stream.write(piece)
                tell("exporting", min(number, len(ids)), len(ids), f"{min(number, len(ids)):,} traces")
                if stop():
                    raise CancelledError(f"cancelled; {out} was not written")
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(out)
    except OSError as error:
        raise SteplensError(f"{out}: {error.strerror}; choose a place you may write to, with enough room") from error
    finally:
        aside.unlink(missing_ok=True)
    return TracesReport(str(out), len(ids), out.stat().st_size, time.perf_counter() - began)


def pieces(c: Connection, ids: Sequence[int], form: str) -> Iterator[str]:
    """The file in pieces, one a trace with what stands before it, and an end."""
    if form == "jsonl":
        for trace_id in ids:
            yield _encoded({KEY: own_traces.carried(own_traces.of_trace(c, trace_id))}) + "\n"
        return
    head, tail = _around(form)
    for number, trace_id in enumerate(ids):
        made = _sample(c, trace_id) if form == "inspect" else _span(c, trace_id)
        yield (", " if number else head) + _encoded(made)
    yield tail if ids else head + tail


def verb(workspace: Workspace, args: argparse.Namespace, teller: Teller, stop: Stop) -> int:
    """`steplens export --format inspect|otlp|jsonl`."""
    from studio.exchange.reporting import chosen

    with workspace.database.read() as c:
        ids = chosen(c, args)
    teller.report(export_traces(workspace, args.out, ids, args.format, tell=teller, stop=stop))
    return 0


def _around(form: str) -> tuple[str, str]:
    """What stands before the first and behind the last."""
    if form == "otlp":
        (empty,) = report_text.otlp_json(())
        head, tail = empty.split('"spans": []')
        return f'{head}"spans": [', f"]{tail}"
    (empty,) = report_text.inspect_json("steplens export", ())
    head, tail = empty.split('"samples": []')
    return f'{head}"samples": [', f"]{tail}"


def _sample(c: Connection, trace_id: int) -> dict[str, Any]:
    made, own = report_text.sample(_told(c, trace_id)), own_traces.of_trace(c, trace_id)
    made["epoch"] = own.epoch or 1
    made["metadata"][KEY] = _sealed(own, made["messages"])
    return made


def _span(c: Connection, trace_id: int) -> dict[str, Any]:
    made, own = report_text.span(_told(c, trace_id)), own_traces.of_trace(c, trace_id)
    values = {each["key"]: next(iter(each["value"].values())) for each in made["attributes"]}
    plain = [values["gen_ai.input.messages"], values["gen_ai.output.messages"]]
    made["attributes"].append({"key": ATTRIBUTE, "value": {"stringValue": _encoded(_sealed(own, *plain))}})
    return made


def _sealed(own: OwnTrace, *plain: object) -> dict[str, Any]:
    return own_traces.carried(msgspec.structs.replace(own, of=seal(*plain)))


def _told(c: Connection, trace_id: int) -> trace_report.ToldTrace:
    (told,) = trace_report.read(c, (trace_id,))
    return told


def _encoded(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
