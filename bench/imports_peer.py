"""The same tasks into Label Studio and into a workspace, in turns: traces a second and processor seconds.

    python -m bench.imports_peer --peer PATH/label-studio        # about 4 minutes, of which its first start takes one

The peer's server is started by its own script (`--peer-script`), which also makes the tasks: a problem and 12 steps
each. It takes them twice, alone and with an annotation of 12 ratings each; we take them as PRM800K records with those
ratings, and they are searchable afterwards. Its request holds the tasks as JSON, over the loopback interface; ours lie
in a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from studio.exchange.transfer import import_files
from studio.store import traces
from studio.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
PEER_SCRIPT = ROOT.parent / "shared" / "peers" / "label_studio.py"
ROWS = 10_000
TURNS = 3
TOKEN = "b" * 40
VALUES = {"Good": 1, "Neutral": 0, "Bad": -1}


@dataclass(slots=True)
class Taken:
    """What the turns of one import took: wall and processor seconds."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def tell(self, what: str, rows: int) -> None:
        """Two lines of the result: the medians."""
        figure(what, rows / statistics.median(self.wall), "traces/s")
        figure(f"{what}: processor", statistics.median(self.processor), "s")


def main() -> int:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=os.environ.get("STEPLENS_PEER_LABEL_STUDIO"), help="the program label-studio")
    parser.add_argument("--peer-script", type=Path, default=PEER_SCRIPT)
    parser.add_argument("--rows", type=int, default=ROWS)
    args = parser.parse_args()
    if not args.peer:
        parser.error("name the program label-studio with --peer, or in STEPLENS_PEER_LABEL_STUDIO")
    compare(Path(args.peer).absolute(), args.peer_script, args.rows)
    return 0


def compare(program: Path, script: Path, rows: int) -> None:
    """Start the peer's server, import in turns, print the figures."""
    peer = _load(script)
    random.seed(1)  # of the peer's ratings
    tasks = [{"data": peer.make_task(number)} for number in range(rows)]
    rated = [{**task, "annotations": [{"result": peer.ratings()}]} for task in tasks]
    alone, together, ours = Taken(), Taken(), Taken()
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "peer" / "data"
        data.mkdir(parents=True)
        source = folder / "rows.jsonl"
        source.write_text("".join(json.dumps(_record(task)) + "\n" for task in rated), "utf-8")
        port = _free_port()
        server, _ = peer.start(str(program), str(data), port, TOKEN)
        try:
            api = peer.Api(port, TOKEN)
            version = api("GET", "/api/version")[1]["release"]
            for turn in range(TURNS):
                for taken, given in ((alone, tasks), (together, rated)):
                    _timed(taken, lambda: peer.cpu_s(server.pid), _asked(peer, api, given, f"{turn} {len(given)}"))
                with Workspace.open(folder / f"workspace-{turn}", create=True) as workspace:
                    _timed(ours, time.process_time, lambda workspace=workspace: _import(workspace, source))
                    _check(workspace, rows)
        finally:
            peer.stop(server)
    alone.tell(f"Label Studio {version}: import of {rows:,} tasks of 12 steps", rows)
    together.tell(f"Label Studio {version}: the same with an annotation of 12 ratings each", rows)
    ours.tell("Steplens: the same with their ratings, searchable", rows)
    for what, theirs in (("tasks alone", alone), ("tasks with ratings", together)):
        speed = statistics.median(other / own for own, other in zip(ours.wall, theirs.wall, strict=True))
        work = statistics.median(own / other for own, other in zip(ours.processor, theirs.processor, strict=True))
        figure(f"ours / Label Studio, {what}: traces a second (median of pairs)", speed, "x")
        figure(f"ours / Label Studio, {what}: processor seconds (median of pairs)", work, "x")


def figure(what: str, value: float, unit: str) -> None:
    """One line of the result."""
    print(json.dumps({"what": what, "value": round(value, 4), "unit": unit, "must": "", "met": None}), flush=True)


def _timed(taken: Taken, processor: Callable[[], float], work: Callable[[], object]) -> None:
    used, began = processor(), time.perf_counter()
    work()
    taken.wall.append(time.perf_counter() - began)
    taken.processor.append(processor() - used)


def _asked(peer: ModuleType, api: Any, tasks: list[dict[str, Any]], title: str) -> Callable[[], None]:  # noqa: ANN401
    """A project of its own, and the request that brings the tasks in; only the request is timed."""
    asked = {"title": title, "label_config": peer.label_config(), "maximum_annotations": 1}
    status, project, _ = api("POST", "/api/projects/", asked)
    assert status == 201, (status, project)
    wanted = sum(len(task.get("annotations", ())) for task in tasks)

    def run() -> None:
        status, reply, _ = api("POST", f"/api/projects/{project['id']}/import", tasks)
        assert status in (200, 201), (status, str(reply)[:500])
        assert (reply["task_count"], reply["annotation_count"]) == (len(tasks), wanted), reply

    return run


def _import(workspace: Workspace, source: Path) -> None:
    report = import_files(workspace, [source], "Bench")
    assert report.broken == 0, report.errors[:3]


def _check(workspace: Workspace, rows: int) -> None:
    with workspace.database.read() as c:
        assert traces.count(c, traces.TraceQuery(text="triangle")) > 0, "what came in can be found"
        assert traces.count(c, traces.TraceQuery()) == rows


def _record(task: dict[str, Any]) -> dict[str, Any]:
    """A rated task of the peer as a PRM800K record: the same texts, the same ratings."""
    data, result = task["data"], task["annotations"][0]["result"]
    texts = [step["text"] for step in data["steps"]]
    values = [VALUES[each["value"]["choices"][0]] for each in result]
    steps = [
        {
            "completions": [{"text": text, "rating": value, "flagged": None}],
            "human_completion": None,
            "chosen_completion": None if value < 0 else 0,
        }
        for text, value in zip(texts, values, strict=True)
    ]
    return {
        "labeler": "00000000-0000-4000-8000-000000000001",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": data["problem"],
            "ground_truth_answer": data["ground_truth_answer"],
            "pre_generated_steps": texts,
        },
        "label": {"steps": steps, "total_time": 12_300, "finish_reason": "found_error"},
    }


def _load(script: Path) -> ModuleType:
    """The peer's script under another name: its own is that of the peer's package."""
    found = importlib.util.spec_from_file_location("label_studio_script", script)
    assert found is not None, script
    assert found.loader is not None, script
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
