"""How long counting and streaming the rows of a run take at 100,000 traces of 12 steps: `python -m bench.rows`."""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import threading
import time
from pathlib import Path

from sqlalchemy import insert

from studio.domain import now
from studio.store import batches, projects, rows
from studio.store import schema as s
from studio.workspace import Workspace
from trainer.reasoning.split import fold_of


def fill(workspace: Workspace, traces: int, steps: int = 12, people: int = 1, seed: int = 0) -> None:
    """Traces of one line a step; each rated by `people`, every fifth with an error somewhere."""
    draw, database, moment = random.Random(seed), workspace.database, now()
    with database.write() as c:
        project = projects.create(c, "Big")
        who = [projects.ensure_annotator(c, f"Person {number}").id for number in range(people)]
        batch = batches.begin(c, "import", project.id)
    ids = iter(range(1, traces + 1))
    while piece := [number for _, number in zip(range(2000), ids, strict=False)]:
        tables: dict[str, list[dict[str, object]]] = {name: [] for name in _TABLES}
        for number in piece:
            _one(tables, number, steps, project.id, batch, who, draw, moment)
        with database.bulk(checked=False) as c:
            for name in _TABLES:
                c.execute(insert(s.metadata.tables[name]), tables[name])
    with database.write() as c:
        batches.publish(c, batch, {})


_TABLES = ("problem", "trace", "segmentation", "step", "project_trace", "annotation", "rating")


def _one(
    tables: dict[str, list[dict[str, object]]],
    number: int,
    steps: int,
    project: int,
    batch: int,
    who: list[int],
    draw: random.Random,
    moment: str,
) -> None:
    prompt = f"What is {number} + {draw.randint(1, 99)}? " + "Think step by step and explain each step well. " * 2
    lines = [f"Step {at}: we add {draw.randint(1, 99)} to what we have and look at the result." for at in range(steps)]
    text, start = "\n\n".join(lines), 0
    tables["problem"].append({"id": number, "uid": f"p{number}", "prompt": prompt, "fold": fold_of(prompt)})
    tables["trace"].append(
        {
            "id": number,
            "uid": f"{number:032x}",
            "problem_id": number,
            "batch_id": batch,
            "text": text,
            "created_at": moment,
        }
    )
    tables["segmentation"].append(
        {"id": number, "trace_id": number, "version": 1, "method": "import", "created_at": moment}
    )
    tables["project_trace"].append({"project_id": project, "trace_id": number, "position": number, "batch_id": batch})
    for at, line in enumerate(lines):
        tables["step"].append(
            {"segmentation_id": number, "ordinal": at, "step_id": at, "start": start, "end": start + len(line)}
        )
        start += len(line) + 2
    for place, person in enumerate(who):
        annotation = number * len(who) + place
        error = draw.randrange(steps) if number % 5 == 0 else steps
        tables["annotation"].append(
            {
                "id": annotation,
                "uid": f"{annotation:032x}",
                "project_id": project,
                "trace_id": number,
                "segmentation_id": number,
                "annotator_id": person,
                "batch_id": batch,
                "state": "submitted",
                "finish_reason": "found_error" if error < steps else "solution",
            }
        )
        for at in range(min(error + 1, steps)):
            value = -1 if at == error else draw.choice((0, 1, 1, 1))
            tables["rating"].append({"annotation_id": annotation, "ordinal": at, "option": 0, "value": value})


def longest_gap(stop: threading.Event, found: list[float]) -> None:
    """How long another thread had to wait for its turn, at worst: what a window beside it would feel."""
    last = time.perf_counter()
    while not stop.is_set():
        time.sleep(0.002)
        moment = time.perf_counter()
        found.append(moment - last - 0.002)
        last = moment


def main() -> None:
    """Fill, count, stream; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--workspace", type=Path, help="keep it here, and use it again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.workspace or Path(folder) / "workspace"
        fresh = not path.exists()
        with Workspace.open(path, create=True) as workspace:
            began = time.perf_counter()
            if fresh:
                fill(workspace, args.traces, people=args.people)
            filled = time.perf_counter() - began
            selection, gaps, stop = rows.Selection(), [0.0], threading.Event()
            watcher = threading.Thread(target=longest_gap, args=(stop, gaps))
            watcher.start()
            began = time.perf_counter()
            with workspace.database.read() as c:
                counts = rows.count(c, selection)
            counted = time.perf_counter() - began
            stop.set()
            watcher.join()
            began = time.perf_counter()
            with workspace.database.read() as c:
                streamed_rows = sum(1 for _ in rows.stream(c, selection))
            streamed = time.perf_counter() - began
            gaps.sort()
            print(
                json.dumps(
                    {
                        "traces": args.traces,
                        "rows": counts.rows,
                        "labels": counts.labels,
                        "fill_seconds": round(filled, 1),
                        "count_seconds": round(counted, 2),
                        "count_longest_wait_of_another_thread_ms": round(gaps[-1] * 1000, 1),
                        "count_p99_wait_ms": round(gaps[int(len(gaps) * 0.99)] * 1000, 1),
                        "stream_seconds": round(streamed, 2),
                        "streamed": streamed_rows,
                        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    }
                )
            )


if __name__ == "__main__":
    main()
