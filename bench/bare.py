"""The bare loader beside which an import is measured: stdlib json and sqlite3, same tables, same full-text index.

It checks nothing, knows no duplicates, keeps the raw line as it is, and commits once a thousand rows.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from itertools import count, islice
from pathlib import Path
from typing import Any

ROWS_IN_A_COMMIT = 1000
Row = tuple[Any, ...]
NOW = "2026-01-01T00:00:00.000000"


def load(database: Path, source: Path) -> int:
    """Load a file of records, one trace and one annotation a row, into an empty database; returns the rows."""
    c = sqlite3.connect(database, isolation_level=None)
    c.execute("PRAGMA journal_mode=WAL")
    c.execute("PRAGMA synchronous=FULL")
    c.execute("INSERT INTO project (id, uid, name, created_at) VALUES (1, 'p', 'bare', ?)", (NOW,))
    c.execute(
        "INSERT INTO batch (id, uid, kind, state, project_id, created_at) VALUES (1, 'b', 'import', 'writing', 1, ?)",
        (NOW,),
    )
    annotators: dict[str, int] = {}
    keys = count(1)
    total = 0
    with source.open("rb") as stream:
        while lines := list(islice(stream, ROWS_IN_A_COMMIT)):
            c.execute("BEGIN IMMEDIATE")
            _store(c, [(next(keys), line, json.loads(line)) for line in lines], annotators)
            c.execute("COMMIT")
            total += len(lines)
    c.execute("UPDATE batch SET state = 'published' WHERE id = 1")
    c.close()
    return total


def _store(c: sqlite3.Connection, rows: list[tuple[int, bytes, dict[str, Any]]], annotators: dict[str, int]) -> None:
    for _, _, record in rows:
        if record["labeler"] not in annotators:
            annotators[record["labeler"]] = len(annotators) + 1
            values = (annotators[record["labeler"]], record["labeler"], record["labeler"], NOW)
            c.execute("INSERT INTO annotator (id, uid, name, created_at) VALUES (?, ?, ?, ?)", values)
    problems, traces, messages, segmentations = list[Row](), list[Row](), list[Row](), list[Row]()
    steps, places, annotations, ratings, raw = list[Row](), list[Row](), list[Row](), list[Row](), list[Row]()
    for key, line, record in rows:
        question, label = record["question"], record["label"]
        uid, text = f"{key:032x}", "\n\n".join(question["pre_generated_steps"])
        fold = hashlib.sha256(question["problem"].encode()).hexdigest()
        problems.append(
            (key, uid, question["problem"], question["ground_truth_answer"], question["ground_truth_solution"], fold)
        )
        traces.append((key, uid, key, 1, key, text, "\n\n", question["pre_generated_answer"], NOW))
        messages.append((key, 0, "assistant", f'[["answer", 0, {len(text)}]]'))
        segmentations.append((key, key, 1, "import", NOW))
        at = 0
        for ordinal, step in enumerate(question["pre_generated_steps"]):
            steps.append((key, ordinal, ordinal, at, at + len(step)))
            at += len(step) + 2
        places.append((1, key, key, record["generation"], 1))
        place = (1, key, key, annotators[record["labeler"]], 1, key, "submitted", record["timestamp"])
        annotations.append((key, uid, *place, record["generation"], label["total_time"], label["finish_reason"]))
        for ordinal, step in enumerate(label["steps"]):
            for option, completion in enumerate(step["completions"]):
                ratings.append((key, ordinal, option, completion["rating"], completion["flagged"]))
        raw.append((1, key, "raw", line))
    for table, columns, values in (
        ("problem", "id, uid, prompt, reference_answer, reference_solution, fold", problems),
        ("trace", "id, uid, problem_id, batch_id, line, text, separator, answer, created_at", traces),
        ("message", "trace_id, ordinal, role, blocks", messages),
        ("segmentation", "id, trace_id, version, method, created_at", segmentations),
        ("step", 'segmentation_id, ordinal, step_id, start, "end"', steps),
        ("project_trace", "project_id, trace_id, position, generation, batch_id", places),
        (
            "annotation",
            "id, uid, project_id, trace_id, segmentation_id, annotator_id, batch_id, line, state, submitted_at, "
            "generation, total_time_ms, finish_reason",
            annotations,
        ),
        ("rating", "annotation_id, ordinal, option, value, flagged", ratings),
        ("raw_record", "batch_id, line, codec, data", raw),
    ):
        marks = ", ".join("?" * len(columns.split(",")))
        c.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)
