"""The recipe route: rows through tiny models and real addresses, learning, resuming, the cache, and requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.trainer.test_rl_recipe import here
from tests.unit.models.http_servers import Handler, Scripted, chat, served
from trainer.contract import requests
from trainer.contract.events import Answered, Notice, Wrote
from trainer.contract.generated import Settings
from trainer.contract.kept_answers import statistics
from trainer.contract.records import InputRow, ModelRef, RouteRecord, TraceRecord
from trainer.contract.requests import RouteRequest
from trainer.contract.run_folder import RunFolder, read_events, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.route import RouteTask
from trainer.routing.learning import Learned, choices, load


def sums(n: int, seed: int = 0, *, most: int = 9) -> list[InputRow]:
    """Sums of 1 to `most` numbers; those of more than five are too hard for the small address."""
    g = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        numbers = g.integers(10, 99, int(g.integers(1, most + 1)))
        problem = f"Sum {k}: {' + '.join(map(str, numbers))} = ?"
        row = InputRow(
            id=f"row{k}", trace="", segmentation=1, problem=problem, steps=(), step_ids=(),
            reference=str(numbers.sum()), origin="sums",
        )  # fmt: skip
        rows.append(row)
    return rows


def adds(wrong_beyond: int) -> Callable[[Handler, int], None]:
    """A server that adds, and guesses, less sure, where there are more numbers."""

    def script(handler: Handler, number: int) -> None:
        asked = handler.server.seen[number][2]
        problem = asked["messages"][-1]["content"].partition(": ")[2]
        numbers = [int(each) for each in re.findall(r"\d+", problem)]
        knows = len(numbers) <= wrong_beyond
        answer = sum(numbers) if knows else 1000 + asked["seed"] % 3
        content = [{"token": f"{answer}", "logprob": -0.01 if knows else -2.0, "top_logprobs": []}]
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        handler.json(chat(f"{answer}", choice={"logprobs": {"content": content}}, usage=usage))

    return script


@pytest.fixture(scope="module")
def small() -> Iterator[Scripted]:
    with served(adds(5)) as server:
        yield server


@pytest.fixture(scope="module")
def large() -> Iterator[Scripted]:
    with served(adds(8)) as server:
        yield server


def route_run(
    path: Path, rows: list[InputRow], small: str, large: str, models: tuple[tuple[str, Path], ...] = (), **more: Any
) -> RunFolder:
    """A run of the recipe, not started."""
    given = {
        "fast_url": small, "fast_name": "small", "fast_price_input": 1.0, "fast_price_output": 1.0,
        "reasoning_url": large, "reasoning_name": "large", "reasoning_price_input": 30.0,
        "reasoning_price_output": 30.0, "threads": 1, "tries": 1, "cache_folder": str(path.parent / "kept"),
    }  # fmt: skip
    folder = RunFolder(path)
    refs = tuple(ModelRef(role=role, path=f"inputs/{role}", checksum=sha256_of_folder(where), name=role)
                 for role, where in models)  # fmt: skip
    values = parameters(build("route", given | more))
    folder.create(RunSpec(run=f"run-{path.name}", name="routes", recipe="route", parameters=values, models=refs), rows)
    for role, where in models:
        (folder.inputs / role).symlink_to(where)
    return folder


def routes_of(folder: RunFolder) -> list[RouteRecord]:
    return [record for record in read_records(folder.records)[0] if isinstance(record, RouteRecord)]


def traces_of(folder: RunFolder) -> list[TraceRecord]:
    return [record for record in read_records(folder.records)[0] if isinstance(record, TraceRecord)]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, small: Scripted, large: Scripted) -> RunFolder:
    folder = route_run(
        tmp_path_factory.mktemp("learn") / "learn", sums(120), small.url, large.url, task=RouteTask.LEARN.value
    )
    assert here(folder) == 0, folder.tail_of_log()
    return folder


def test_learning_leaves_a_router_that_knows_which_sums_are_hard(learned: RunFolder):
    routes = routes_of(learned)
    assert len(routes) == 120
    assert all(len(route.asked) + len(route.audited) == 2 for route in routes)
    made: Learned = load(learned.model)
    assert (made.router.fast, made.router.reasoning, made.router.unit) == ("small", "large", "cost")
    assert len(made.router.table.before) == 120
    right = np.array([route.problem.count("+") <= 4 for route in routes])
    assert np.array_equal(right, made.router.table.fast_right)
    chosen = choices(made.router.table, build("route", {}).target, 0.02)  # type: ignore[union-attr]
    assert chosen.reached
    summary = read_events(learned.events)[0][-1].summary  # type: ignore[union-attr]
    assert summary["learned_router_accuracy"] >= summary["learned_oracle_accuracy"] - 0.02
    assert summary["learned_router_cost"] < summary["learned_reasoning_cost"]


def test_a_learned_router_answers_as_the_better_model_at_less_cost(
    tmp_path: Path, learned: RunFolder, small: Scripted, large: Scripted
):
    rows = sums(40, seed=7)
    folder = route_run(tmp_path / "ask", rows, small.url, large.url, (("router", learned.model),), audit=1.0)
    assert here(folder) == 0, folder.tail_of_log()
    routes = routes_of(folder)
    right = sum(route.outcome == 1 for route in routes)
    assert right >= sum(row.problem.count("+") <= 7 for row in rows) - 1
    escalated = [route for route in routes if any(step.tier == "reasoning" for step in route.asked)]
    assert 0 < len(escalated) < 40
    assert {route.level for route in routes} >= {"simple", "hard"}
    assert all(route.router == load(learned.model).router.version for route in routes)
    assert all(route.task == "sums" for route in routes)
    summary = read_events(folder.events)[0][-1].summary  # type: ignore[union-attr]
    assert summary["accuracy"] == pytest.approx(right / 40)
    assert summary["cost"] == pytest.approx(sum(route.spent.cost for route in routes))
    assert summary["random_accuracy"] < summary["accuracy"] <= summary["oracle_accuracy"]
    uids = {trace.id for trace in traces_of(folder)}
    assert all(step.trace in uids for route in routes for step in (*route.asked, *route.audited))


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(tmp_path: Path, small: Scripted, large: Scripted):
    folder = route_run(tmp_path / "kill", sums(20, seed=3), small.url, large.url, batch_rows=4, cache=False)
    assert here(folder) == 0
    whole = folder.records.read_bytes()
    kept = whole.split(b"\n")
    last = [k for k, line in enumerate(kept) if b'"route"' in line[:20]][7]
    folder.records.write_bytes(b"\n".join(kept[: last + 3]) + b"\n" + kept[last + 3][:40])  # torn in the ninth row
    before = len(small.seen)
    assert here(folder) == 0, folder.tail_of_log()
    assert len(small.seen) - before == 12 * 3  # three samples for each of the twelve rows that were missing
    assert len({route.id for route in routes_of(folder)}) == len(routes_of(folder)) == 20


def test_an_answer_that_comes_out_otherwise_after_a_kill_is_a_trace_of_its_own(
    tmp_path: Path, small: Scripted, large: Scripted
):
    folder = route_run(tmp_path / "kill", sums(3, seed=3), small.url, large.url, cache=False)
    assert here(folder) == 0
    lines = folder.records.read_bytes().splitlines(keepends=True)
    first = next(k for k, line in enumerate(lines) if b'"route"' in line[:20])
    kept = [one for one in traces_of(folder) if one.row == "row1"]
    other = [msgspec.structs.replace(kept[0], text="another answer: 7"), *kept[1:]]
    folder.records.write_bytes(
        b"".join(lines[: first + 1]) + b"".join(msgspec.json.encode(one) + b"\n" for one in other)
    )
    for _ in range(2):  # the second attempt finds all done
        assert here(folder) == 0, folder.tail_of_log()
    made = traces_of(folder)
    assert len({one.id for one in made}) == len(made), "an id stands for two traces"
    assert {one.text for one in made if one.row == "row1"} == {one.text for one in [*kept, other[0]]}
    texts = {one.id: one.text for one in made}
    for route in routes_of(folder):
        for step in route.asked:
            assert step.answer is None or step.answer in texts[step.trace]


def test_what_a_cached_answer_had_cost_is_what_thresholds_are_chosen_by(
    learned: RunFolder, small: Scripted, large: Scripted
):
    again = route_run(learned.path.parent / "again", sums(120), small.url, large.url, task=RouteTask.LEARN.value)
    assert here(again) == 0, again.tail_of_log()
    assert all(route.spent.cached and route.spent.cost == 0 for route in routes_of(again))
    first, second = load(learned.model).router, load(again.model).router
    assert (second.table.fast_cost, second.table.reasoning_cost) == (first.table.fast_cost, first.table.reasoning_cost)
    assert min(first.table.fast_cost) > 0


def test_the_second_run_is_answered_from_the_cache(tmp_path: Path, small: Scripted, large: Scripted):
    rows = sums(6, seed=4)
    first = route_run(tmp_path / "first", rows, small.url, large.url)
    again = route_run(tmp_path / "again", rows, small.url, large.url)
    assert here(first) == 0
    before = len(small.seen), len(large.seen)
    assert here(again) == 0
    assert (len(small.seen), len(large.seen)) == before
    assert [route.answer for route in routes_of(again)] == [route.answer for route in routes_of(first)]
    assert all(route.spent.cached for route in routes_of(again))
    assert {trace.id for trace in traces_of(again)} == {trace.id for trace in traces_of(first)}  # stored once
    counts = {each.name: each.counts for each in statistics(tmp_path / "kept")}
    assert (counts["small"].hits, counts["small"].misses) == (6, 6)


def test_an_address_that_is_down_is_told_and_the_run_goes_on(tmp_path: Path, small: Scripted):
    folder = route_run(tmp_path / "down", sums(6, seed=5), small.url, "http://127.0.0.1:9/v1")
    assert here(folder) == 0, folder.tail_of_log()
    routes = routes_of(folder)
    marked = [route for route in routes if route.marked]
    assert marked
    assert all("127.0.0.1:9" in route.marked for route in marked)
    assert all(route.answer is not None for route in routes)
    notices = [event for event in read_events(folder.events)[0] if isinstance(event, Notice)]
    assert [notice.code for notice in notices].count("answer_marked") == len(marked)


@pytest.mark.parametrize(("more", "words"), [
    ({"fast_url": ""}, "no fast model chosen"),
    ({"fast_key": "NO_SUCH_KEY"}, "steplens key set NO_SUCH_KEY"),
    ({"task": RouteTask.LEARN.value, "reasoning_url": ""}, "learning asks two models"),
    ({"router": "/nowhere"}, "no router that can be read"),
])  # fmt: skip
def test_what_cannot_run_says_what_to_do(tmp_path: Path, more: dict[str, Any], words: str):
    folder = route_run(tmp_path / "no", sums(2), "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", **more)
    assert here(folder) == 1
    assert words in read_events(folder.events)[0][-1].message  # type: ignore[union-attr]


def test_a_resident_run_answers_requests_with_settings_of_their_own(tmp_path: Path, small: Scripted, large: Scripted):
    folder = route_run(tmp_path / "stay", [], small.url, large.url, resident=True, idle_minutes=0.005)
    row = sums(1, seed=6)[0]
    asked: list[tuple[str, Settings]] = [("q1", {}), ("q2", {"accept": 1.0}), ("q3", {"fast_url": "x"}), ("q4", {})]
    requests.append(folder.requests, *(RouteRequest(id=id * 16, row=row, settings=more) for id, more in asked))
    assert here(folder) == 0, folder.tail_of_log()
    said = read_events(folder.events)[0]
    answers = {event.request[:2]: event.error for event in said if isinstance(event, Answered)}
    assert answers == {"q1": "", "q2": "", "q3": "a request cannot change fast_url: these belong to the run", "q4": ""}
    first, second, again = routes_of(folder)
    assert [len(first.asked), len(second.asked)] == [1, 2]  # nothing is sure enough for the second
    assert again.spent.cached
    texts = {event.trace for event in said if isinstance(event, Wrote) and event.request[:2] == "q2"}
    assert texts == {0, 1, 2, 3}  # three samples and the reasoning model's answer
