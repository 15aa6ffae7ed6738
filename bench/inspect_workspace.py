"""The workspace of `bench.inspect_page`: four special traces, and many with all that filters ask about.

The many have a problem of 200 characters each, answers, metadata, step scores of two scorers, ratings, flags, causes,
rubric hits, bookmarks, a project, evaluations and searches, so that no condition is fast because its table is empty.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert, select

from studio.store import batches, projects, runs, schema, scores, token_values, traces
from studio.store.token_values import TokenArrays
from studio.workspace import Workspace
from trainer.contract.records import Block, BlockKind, Message, ScoreRecord, ScorerRef, Step
from trainer.reasoning.segment import segment
from trainer.reasoning.split import fold_of

WORDS = ("so", "the", "first", "term", "is", "equal", "to", "we", "check", "whether", "wait", "let", "me", "recompute")
THINGS = ("clips", "friends", "eggs", "muffins", "hours", "pages", "miles", "dollars", "boxes", "apples", "weeks")
AT = "2026-01-01T00:00:00.000000+00:00"
STEPS = 12
Rows = Iterator[tuple[object, ...]]


def build(folder: Path, wanted: int, words: int) -> Path:
    """The workspace, made once a folder."""
    if (folder / "workspace.toml").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"making-{folder.name}-{os.getpid()}")
    with Workspace.open(aside, create=True) as workspace:
        with workspace.database.write() as c:
            fill(c, wanted, words)
        workspace.database.checkpoint()
    aside.replace(folder)
    return folder


def special(c: Connection) -> tuple[int, int, int, int]:
    """The traces of a million words, of 10,000 steps, of 100,000 tokens, and one of the many."""
    found = [
        int(c.scalar(select(schema.trace.c.id).where(schema.trace.c.uid == f"{k:032x}")) or 0) for k in range(1, 5)
    ]
    return found[0], found[1], found[2], found[3]


def fill(c: Connection, wanted: int, words: int) -> None:
    """The four special traces first, then as many as are wanted, in ten logs of several models."""
    project = projects.create(c, "Bench").id
    person = projects.ensure_annotator(c, "Ada").id
    batch = batches.begin(c, "import", project)
    batches.publish(c, batch, {})
    long = response(random.Random(1), words)
    add(c, batch, 1, long)
    many = response(random.Random(2), 10_000 * 12, step=12)
    steps = add(c, batch, 2, many)
    score(c, steps)
    tokens = add(c, batch, 3, response(random.Random(3), 65_000))
    put_tokens(c, tokens, batch, 100_000)
    raw = c.connection.driver_connection
    assert raw is not None
    for sql, rows in (*tables(batch, wanted, logs(c, batch)), *said(batch, wanted, project, person)):
        raw.executemany(sql, rows)
    ids = select(schema.trace.c.id).order_by(schema.trace.c.id)
    projects.put_traces(c, project, tuple(c.scalars(ids.limit(3))), batch_id=batch)


def response(dice: random.Random, words: int, step: int = 40) -> str:
    """Thinking of so many words in paragraphs of about `step`, some with maths, and an answer."""
    parts = []
    while words > 0:
        line = [dice.choice(WORDS) + (str(dice.randint(0, 9999)) if dice.random() < 0.08 else "") for _ in range(step)]
        parts.append(" ".join(line))
        words -= step
    return "<think>\n" + "\n\n".join(parts) + "\n</think>\nThe answer is 42."


def add(c: Connection, batch: int, number: int, text: str) -> int:
    """Store one response with its blocks and steps."""
    close = text.index("</think>")
    blocks = (Block(BlockKind.THINKING, 8, close), Block(BlockKind.ANSWER, close + 9, len(text)))
    spans = (*segment(text, 8, close), *segment(text, close + 9))
    steps = tuple(Step(k, span.start, span.end) for k, span in enumerate(spans))
    new = traces.NewTrace(f"Problem {number}", text, (Message("assistant", blocks),), steps, uid=f"{number:032x}")
    return traces.add(c, new, batch_id=batch).trace_id


def score(c: Connection, trace_id: int) -> None:
    """Three scorers for one trace."""
    trace = traces.load(c, trace_id)
    dice = random.Random(4)
    for k in range(3):
        run = runs.prepare(c, uid=f"{k:032d}", name=f"prm-{k}", recipe="score", device="cpu", host="here", process="")
        batch = batches.begin(c, "ingest", run_id=run)
        record = ScoreRecord(
            id=f"s{k}",
            row=f"{trace.uid}:1",
            trace=trace.uid,
            segmentation=1,
            scorer=ScorerRef(name=f"prm-{k}", version=str(k) * 64),
            values=tuple(dice.random() for _ in trace.segmentation.steps),
        )
        scores.store_records(c, batch, [record])
        batches.publish(c, batch, {})


def put_tokens(c: Connection, trace_id: int, batch: int, count: int) -> None:
    """Values for so many tokens."""
    length = len(traces.load(c, trace_id).text)
    rng = np.random.default_rng(5)
    starts = np.sort(rng.choice(length, count, replace=False)).astype(np.uint32)
    logprob = -rng.exponential(0.6, count).astype(np.float32)
    token_values.put(c, trace_id, batch, TokenArrays(starts, logprob, rng.random(count).astype(np.float32)))


def logs(c: Connection, batch: int) -> list[int]:
    """Ten logs."""
    made = []
    for k in range(10):
        values = {"uid": f"log{k}", "batch_id": batch, "path": f"logs/run-{k}.eval"}
        key = c.execute(insert(schema.log).values(**values)).inserted_primary_key
        assert key is not None
        made.append(int(key[0]))
    return made


def tables(batch: int, wanted: int, made: list[int]) -> Iterator[tuple[str, Rows]]:
    """Statements and rows of the many: traces of twelve short steps."""
    numbers, fold = range(4, wanted + 1), fold_of("Problem")
    texts = [f"Step {o}: we multiply both sides by {o + 2} and go on, as nothing is lost." for o in range(STEPS)]
    text, spans, at = "\n\n".join(texts), [], 0
    for each in texts:
        spans.append((at, at + len(each)))
        at += len(each) + 2
    yield (
        "INSERT INTO problem (id, uid, prompt, source, fold) VALUES (?, ?, ?, ?, ?)",
        ((k, f"p{k}", problem(k), f"set-{k % 7}", fold) for k in numbers),
    )
    yield (
        "INSERT INTO trace (id, uid, problem_id, batch_id, line, text, log_id, sample, epoch, model, outcome, budget, "
        "answer, extra, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '2026')",
        ((k, f"{k:032x}", k, batch, k, text, made[k * 10 // (wanted + 1)], *dressed(k)) for k in numbers),
    )
    yield (
        "INSERT INTO message (trace_id, ordinal, role, blocks) VALUES (?, 0, 'assistant', ?)",
        ((k, json.dumps([["answer", 0, len(text)]])) for k in numbers),
    )
    yield (
        "INSERT INTO segmentation (id, trace_id, version, method, created_at, steps) "
        "VALUES (?, ?, 1, 'import', '2026', ?)",
        ((k, k, len(spans)) for k in numbers),
    )
    yield (
        'INSERT INTO step (segmentation_id, ordinal, step_id, start, "end") VALUES (?, ?, ?, ?, ?)',
        ((k, o, o, start, end) for k in numbers for o, (start, end) in enumerate(spans)),
    )


def problem(k: int) -> str:
    """A problem of about 200 characters: a school problem's length."""
    dice = random.Random(k)
    lines = [
        f"There are {dice.randint(2, 99)} {dice.choice(THINGS)} for each of the {dice.choice(THINGS)}" for _ in range(3)
    ]
    return f"Problem {k}: {', and '.join(lines)}. How many {dice.choice(THINGS)} are there in the end?"


def dressed(k: int) -> tuple[object, ...]:
    """Sample, epoch, model, outcome, budget, answer and metadata of a trace."""
    ended = "length" if k % 7 == 0 else "stop"
    budget = {"granted": 4096, "used": 400 + k % 3_000, "thinking": 300 + k % 2_500, "answer": 100, "ended": ended}
    said = {"value": "CIN"[k % 3], "answer": str(k % 97), "explanation": "The answer was compared with the reference."}
    usage = {"input_tokens": 50 + k % 400, "output_tokens": 400 + k % 3_000}
    extra = {"uuid": f"{k * 2654435761 % 2**32:08x}", "total_time": k % 1_000 / 7, "started_at": AT, "usage": usage}
    extra |= {"temperature": k % 11 / 10, "scores": {"match": said}}
    outcome = (1, 0, None)[k % 3]
    answer = f"x = {k % 97}/{1 + k % 9}" if k % 13 else None
    return (str(k % 5_000), 1 + k // 5_000, f"policy-{k % 5}", outcome, json.dumps(budget), answer, json.dumps(extra))


def said(batch: int, wanted: int, project: int, person: int) -> Iterator[tuple[str, Rows]]:
    """Statements and rows of what people, scorers and monitors said of the many."""
    numbers = range(4, wanted + 1)
    yield (
        "INSERT INTO project_trace (project_id, trace_id, position, batch_id) VALUES (?, ?, ?, ?)",
        ((project, k, k, batch) for k in numbers),
    )
    yield "INSERT INTO scorer (id, name, version) VALUES (?, ?, '1')", iter(((1_001, "many"), (1_002, "some")))
    yield (
        "INSERT INTO score (record, trace_id, segmentation_id, scorer_id, batch_id, data, low, last, product) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (scored(k, by, batch) for by in (1, 2) for k in numbers if k % by == 0),
    )
    yield (
        "INSERT INTO annotation (id, uid, project_id, trace_id, segmentation_id, annotator_id, state) "
        "VALUES (?, ?, ?, ?, ?, ?, 'submitted')",
        ((k, f"a{k}", project, k, k, person) for k in numbers if k % 10 == 0),
    )
    yield (
        "INSERT INTO rating (annotation_id, ordinal, option, value) VALUES (?, ?, 0, ?)",
        ((k, o, -1 if o == k // 10 % 20 else 1) for k in numbers if k % 10 == 0 for o in range(STEPS)),
    )
    yield from found(batch, numbers)
    yield from tried(batch, numbers)


def scored(k: int, by: int, batch: int) -> tuple[object, ...]:
    """A row of step scores."""
    dice = random.Random(k * 2 + by)
    values = [dice.random() for _ in range(STEPS)]
    product = float(np.prod(values))
    data = struct.pack(f"<{STEPS}f", *values)
    return (f"{by}-{k}", k, k, 1_000 + by, batch, data, min(values), values[-1], product)


def found(batch: int, numbers: range) -> Iterator[tuple[str, Rows]]:
    """Flags, causes, rubric hits and bookmarks."""
    categories, causes = (
        ("deception", "thinking and answer differ", "sandbagging"),
        ("slip", "loop", "cut off", "unknown"),
    )
    quote = "we multiply both sides by 2"
    yield (
        "INSERT INTO flag (record, trace_id, segmentation_id, batch_id, category, severity, "
        'start, "end", quote, state) VALUES (?, ?, ?, ?, ?, 2, 8, 35, ?, ?)',
        (
            (f"f{k}", k, k, batch, categories[k % 3], quote, "rejected" if k % 90 == 0 else "open")
            for k in numbers
            if k % 9 == 0
        ),
    )
    yield (
        'INSERT INTO failure (trace_id, method, version, segmentation_id, cause, step, basis, start, "end", quote, '
        "why, at) VALUES (?, 'rules', '1', ?, ?, 3, 'arithmetic', 8, 35, ?, 'the equation does not hold', '2026')",
        ((k, k, causes[k // 3 % 4], quote) for k in numbers if k % 3 == 1),
    )
    yield "INSERT INTO rubric (id, uid, name, created_at) VALUES (1, 'r1', 'goes on', '2026')", iter([()])
    yield (
        'INSERT INTO rubric_hit (rubric_id, trace_id, how, version, start, "end", quote) '
        "VALUES (1, ?, 'rule', 1, 8, 35, ?)",
        ((k, quote) for k in numbers if k % 5 == 0),
    )
    yield (
        'INSERT INTO bookmark (uid, trace_id, start, "end", quote, tags, created_at, changed_at) '
        "VALUES (?, ?, 8, 35, ?, ?, '2026', '2026')",
        ((f"b{k}", k, quote, '["odd"]' if k % 100 else '["even","look"]') for k in numbers if k % 50 == 0),
    )


def tried(batch: int, numbers: range) -> Iterator[tuple[str, Rows]]:
    """Evaluations and searches."""
    yield (
        "INSERT INTO evaluation_problem (id, row, suite, prompt) VALUES (?, ?, 'gsm8k', 'How many?')",
        ((k, f"e{k}") for k in range(1, 101)),
    )
    yield (
        "INSERT INTO evaluation (record, batch_id, problem_id, trace_id, suite, model, strategy, compute, sample) "
        "VALUES (?, ?, ?, ?, ?, 'm', ?, 'low', 0)",
        (
            (f"v{k}", batch, 1 + k % 100, k, "gsm8k" if k % 20 else "math", "single" if k % 4 else "vote")
            for k in numbers
            if k % 10 == 1 or k % 20 == 0
        ),
    )
    yield (
        "INSERT INTO search (id, record, batch_id, prompt, strategy, model, chosen, traces, nodes, tokens, "
        "tokens_read, prm_calls, prm_tokens, seconds, data) "
        "VALUES (?, ?, ?, 'How many?', ?, 'm', 0, 5, 20, 900, 900, 9, 900, 1.0, x'')",
        ((k, f"h{k}", batch, "beam" if k % 2 else "mcts") for k in range(1, len(numbers) // 50 + 2)),
    )
    yield (
        "INSERT INTO search_trace (trace_id, search_id, batch_id, place) VALUES (?, ?, ?, ?)",
        ((k, k // 50 + 1, batch, k // 10 % 5) for k in numbers if k % 10 == 2),
    )
