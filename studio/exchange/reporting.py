"""Reports of traces: which, in which form, with what taken out; the verb report and what the window calls."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from studio.errors import NotFoundError, StoreError
from studio.exchange import report_html, report_text, trace_report
from studio.exchange.redaction import NOT_LOOKED_FOR, Redaction
from studio.exchange.trace_report import ToldTrace
from studio.store import find_spans, flags, projects, traces
from studio.store.find_pattern import Mode
from studio.store.find_spans import Query
from studio.store.traces import TraceQuery
from studio.workspace import Workspace

EVERYTHING = 2**31 - 1


class ReportForm(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON_LINES = "jsonl"
    INSPECT = "inspect"
    OTLP = "otlp"

    @property
    def ending(self) -> str:
        """Of its files."""
        return {"html": ".html", "markdown": ".md", "jsonl": ".jsonl", "inspect": ".json", "otlp": ".json"}[self.value]


@dataclass(frozen=True, slots=True)
class Written:
    """A finished report."""

    path: Path
    traces: int
    size: int
    taken_out: int


def write(
    c: Connection,
    path: Path,
    ids: Sequence[int],
    form: ReportForm,
    *,
    title: str = "Steplens report",
    redaction: Redaction | None = None,
    check: Callable[[], None] = lambda: None,
    told: Callable[[int], None] = lambda _count: None,
) -> Written:
    """Write traces to a file; a cancelled or failed report leaves nothing. Raises StoreError, FindError."""
    asked = trace_report.matched(c, ids, redaction or Redaction())
    title = asked.shown(asked.mask(title))
    count = 0

    def counted() -> Iterator[ToldTrace]:
        nonlocal count
        for each in trace_report.read(c, ids, asked, check):
            count += 1
            told(count)
            yield each

    pieces = {
        ReportForm.HTML: lambda: report_html.pages(title, counted()),
        ReportForm.MARKDOWN: lambda: report_text.markdown(title, counted()),
        ReportForm.JSON_LINES: lambda: report_text.json_lines(counted()),
        ReportForm.INSPECT: lambda: report_text.inspect_json(title, counted()),
        ReportForm.OTLP: lambda: report_text.otlp_json(counted()),
    }[form]()
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(pieces)
        os.replace(aside, path)
    except OSError as error:
        raise StoreError(f"{path}: the report cannot be written: {error.strerror}; choose another place") from error
    finally:
        aside.unlink(missing_ok=True)
    return Written(path, count, path.stat().st_size, len(asked.texts))


def report(args: argparse.Namespace) -> int:
    """`steplens report`."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        ids = chosen(c, args)
        quotes = [flag.quote for each in ids for flag in flags.of_trace(c, each)] if args.redact_flags else []
        redaction = Redaction.of(args.redact, quotes)
        form = ReportForm(args.form) if args.form else _form_of(args.out)
        made = write(c, args.out, ids, form, title=args.title, redaction=redaction)
    if args.json:
        said = {"path": str(made.path), "traces": made.traces, "bytes": made.size, "taken_out": made.taken_out}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        return 0
    sys.stdout.write(f"{made.path}: {made.traces} traces, {made.size:,} bytes")
    gone = f", {made.taken_out} texts taken out, in whatever form they stood. {NOT_LOOKED_FOR}\n"
    sys.stdout.write("\n" if redaction.is_empty else gone)
    return 0


def _form_of(path: Path) -> ReportForm:
    found = {
        ".html": ReportForm.HTML,
        ".htm": ReportForm.HTML,
        ".md": ReportForm.MARKDOWN,
        ".jsonl": ReportForm.JSON_LINES,
    }
    if path.suffix.lower() not in found:
        raise StoreError(f"{path}: say with --form what to write: {', '.join(form.value for form in ReportForm)}")
    return found[path.suffix.lower()]


def chosen(c: Connection, args: argparse.Namespace) -> list[int]:
    """The traces that --trace, --find or --project say; all without one. Raises NotFoundError, FindError."""
    if args.trace:
        known = {row.id for row in traces.load_many(c, tuple(args.trace))}
        missing = [str(each) for each in args.trace if each not in known]
        if missing:
            raise NotFoundError(f"no trace {', '.join(missing)} in {args.workspace}; `steplens traces` lists them")
        return list(args.trace)
    if args.find:
        return [hit.trace_id for hit in find_spans.search(c, Query(args.find, Mode.WORDS), limit=EVERYTHING).hits]
    project = None
    if args.project is not None:
        found = projects.by_name(c, args.project)
        if found is None:
            raise NotFoundError(f"there is no project {args.project!r} in {args.workspace}")
        project = found.id
    return [row.id for row in traces.rows(c, TraceQuery(project=project), limit=EVERYTHING)]
