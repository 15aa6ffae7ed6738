"""Searches with a real policy and PRM: the same trees again, every token booked, scores as a plain pass gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.runs import all_events, ended
from tests.trainer.searching import asked, problem_rows, search_run, taught
from tests.trainer.test_rl_recipe import here
from tests.unit.search.toys import exactly
from trainer.contract import events, requests
from trainer.contract.generated import SearchNode
from trainer.contract.records import InputRow, Record, ScoreRecord, SearchRecord, TraceRecord, record_id
from trainer.contract.requests import CANCELLED, CancelRequest, SearchRequest
from trainer.contract.run_folder import RunFolder, read_records
from trainer.contract.specs.evaluate import EvaluateSpec
from trainer.contract.specs.generate import GenerateSpec
from trainer.contract.specs.search import Compute, SearchSpec, Strategy
from trainer.models.answering import Writer
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import Loaded, load_prm
from trainer.models.policies import load_policy
from trainer.reasoning.budget import Grant
from trainer.reasoning.response import read_response
from trainer.search.searcher import Searcher, Sought

GRANT = Grant(48, 12, None, "hand")


@pytest.fixture(scope="module")
def rows() -> list[InputRow]:
    return problem_rows()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, rows: list[InputRow]) -> dict[str, Path]:
    torch.set_num_threads(1)
    return taught(tmp_path_factory.mktemp("models"), rows)


@pytest.fixture(scope="module")
def prm(models: dict[str, Path]) -> Loaded:
    return load_prm(str(models["prm"]))


@pytest.fixture(scope="module")
def searcher(models: dict[str, Path], prm: Loaded) -> Searcher:
    return Searcher(Writer(load_policy(str(models["model"]))), prm)


def searched(searcher: Searcher, row: InputRow, seed: int = 1, grant: Grant = GRANT, **settings: Any) -> Sought:
    given: dict[str, Any] = {"n": 8, "width": 2, "lookahead": 1, "temperature": 1.0, "seed": seed} | settings
    return searcher.search(row.problem, SearchSpec(**given), grant, exactly)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_tree_holds_what_was_drawn_and_its_traces_stand_in_it(
    strategy: Strategy, searcher: Searcher, prm: Loaded, rows: list[InputRow]
) -> None:
    (row,) = asked(rows, 1)
    decoder = searcher.writer.decoder
    before = decoder.tokens_drawn
    sought = searched(searcher, row, strategy=strategy)
    nodes, found = sought.nodes, sought.found
    assert sum(node.tokens for node in nodes) == found.spent.tokens == decoder.tokens_drawn - before
    assert len(found.finished) >= 2
    ends = [number for number, node in enumerate(nodes) if node.trace >= 0]
    assert [nodes[number].trace for number in ends] == list(range(len(found.finished)))
    for number, trace, scores in zip(ends, sought.traces, sought.scores, strict=True):
        texts, at = [], number
        while at > 0:
            texts.append(nodes[at].text)
            at = nodes[at].parent
        assert "".join(reversed(texts)) == trace.text
        assert trace.budget.thinking <= GRANT.thinking
        assert trace.budget.answer <= GRANT.answer
        starts = np.frombuffer(trace.tokens.starts, "<u4")
        assert len(starts) == len(trace.generated.ids) - (trace.generated.ended == "stop")
        if not strategy.needs_prm:
            assert scores is None
            continue
        steps = read_response(trace.text).step_texts
        encoded = prm.encoder(128).encode(row.problem, steps)
        (part,) = class_probabilities(prm.prm, [encoded], budget=4096)
        assert scores == pytest.approx(p_correct(part, len(steps)), abs=1e-5)
    if strategy.needs_prm:
        assert found.spent.prm_calls > 0
        assert found.finished[found.chosen].value is not None
    assert found.answer == sought.traces[found.chosen].answer


@pytest.mark.parametrize("strategy", list(Strategy))
def test_equal_seeds_give_equal_trees_on_a_searcher_that_has_searched_before(
    strategy: Strategy, searcher: Searcher, models: dict[str, Path], rows: list[InputRow]
) -> None:
    row = asked(rows, 2)[1]
    one = searched(searcher, row, strategy=strategy)
    again = searched(searcher, row, strategy=strategy)
    other = searched(searcher, row, seed=2, strategy=strategy)
    assert [(n.parent, n.text, n.visits, n.kept) for n in one.nodes] == [
        (n.parent, n.text, n.visits, n.kept) for n in again.nodes
    ]
    assert [n.score for n in one.nodes] == pytest.approx([n.score for n in again.nodes], abs=1e-5)
    assert [n.text for n in other.nodes] != [n.text for n in one.nodes]
    assert again.found.spent.prm_tokens <= one.found.spent.prm_tokens
    if strategy.needs_prm:
        assert again.found.spent.prm_tokens == 0, "what the PRM had read was read again"


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_budget_of_tokens_is_never_exceeded(strategy: Strategy, searcher: Searcher, rows: list[InputRow]) -> None:
    for row, most in zip(asked(rows, 6), (1, 5, 23, 60, 100, 150), strict=True):
        sought = searched(searcher, row, strategy=strategy, max_tokens=most)
        assert sought.found.spent.tokens <= most
        assert sum(node.tokens for node in sought.nodes) == sought.found.spent.tokens
        assert len(sought.traces) == len(sought.found.finished)


def test_a_search_goes_on_from_a_prefix_and_counts_it(searcher: Searcher, rows: list[InputRow]) -> None:
    (row,) = asked(rows, 1)
    whole = max(searched(searcher, row, strategy=Strategy.BEST_OF_N).traces, key=lambda trace: len(trace.steps))
    prefix = whole.text[: whole.steps[1].start]
    given = len(searcher.writer.policy.tokenizer.encode(prefix, add_special_tokens=False))
    for strategy in (Strategy.BEST_OF_N, Strategy.BEAM, Strategy.MCTS):
        spec = SearchSpec(n=4, width=2, strategy=strategy, temperature=1.0)
        sought = searcher.search(row.problem, spec, GRANT, exactly, prefix=prefix)
        assert sought.traces
        for place, trace in enumerate(sought.traces):
            at, texts = next(n for n, node in enumerate(sought.nodes) if node.trace == place), []
            while at > 0:
                texts.append(sought.nodes[at].text)
                at = sought.nodes[at].parent
            assert prefix + "".join(reversed(texts)) == trace.text
            drawn = trace.generated.thinking_tokens + trace.generated.answer_tokens
            assert trace.budget.used == given + drawn
            assert trace.budget.thinking <= GRANT.thinking
            scores = sought.scores[place]
            assert scores is not None
            assert len([score for score in scores if score is not None]) == len(trace.steps)


def test_copies_are_refused_with_what_to_do(rows: list[InputRow], models: dict[str, Path], tmp_path: Path) -> None:
    folder = search_run(tmp_path / "cold", asked(rows, 1), models, temperature=0.0)
    assert here(folder) == 1
    assert "8 copies; set temperature above 0 (0.6 to 1 are usual), or n to 1" in ended(folder).message
    assert SearchSpec(temperature=0.0, n=1).objection() == ""
    assert "set wait to one" in GenerateSpec(continuations=1, wait="").objection()
    assert "no list of tokens" in EvaluateSpec(budgets="64,1e9").objection()
    assert "no list of tokens" in EvaluateSpec(budgets="64,131073").objection()
    assert "n and width to 1" in SearchSpec(temperature=0.0, n=1, strategy=Strategy.BEAM).objection()
    assert "compute to by hand" in SearchSpec(temperature=0.0, compute=Compute.LOW).objection()


def test_beams_go_on_from_what_is_kept(searcher: Searcher, rows: list[InputRow]) -> None:
    """The prompt is read once; of a beam its last token alone is read again, by the draw that follows."""
    row = asked(rows, 3)[2]
    sought = searched(searcher, row, strategy=Strategy.BEAM, n=8)
    prompt = len(searcher.writer.asking.opening(row.problem, GRANT, searcher.writer.manner).ids)
    assert sought.found.spent.tokens_read < prompt


def test_thinking_that_is_capped_within_a_step_is_closed_there(searcher: Searcher, rows: list[InputRow]) -> None:
    for row in asked(rows, 3):
        for strategy in (Strategy.BEST_OF_N, Strategy.BEAM, Strategy.MCTS):
            tight = searched(searcher, row, strategy=strategy, grant=Grant(9, 6, None, "hand"))
            assert tight.traces
            for trace in tight.traces:
                assert trace.budget.thinking <= 9
                assert trace.budget.answer <= 6
                assert "</think>" in trace.text


def test_without_a_prm_only_self_consistency_searches(searcher: Searcher, rows: list[InputRow]) -> None:
    alone = Searcher(searcher.writer)
    assert searched(alone, rows[0], strategy=Strategy.SELF_CONSISTENCY).traces
    with pytest.raises(ValueError, match="led by a PRM"):
        searched(alone, rows[0], strategy=Strategy.BEAM)


# -- the recipe -------------------------------------------------------------------------------------------------------


def records(folder: RunFolder) -> list[Record]:
    """All that was written; no id twice."""
    found = read_records(folder.records)[0]
    assert len({record.id for record in found}) == len(found)
    return list(found)


def searches(folder: RunFolder) -> list[SearchRecord]:
    return [record for record in records(folder) if isinstance(record, SearchRecord)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, rows: list[InputRow], models: dict[str, Path]) -> RunFolder:
    folder = search_run(tmp_path_factory.mktemp("search") / "whole", asked(rows, 5), models, strategy="beam")
    assert here(folder) == 0, folder.tail_of_log()
    return folder


def test_a_run_writes_traces_scores_and_the_search(done: RunFolder, rows: list[InputRow]) -> None:
    made = records(done)
    traces = {record.id: record for record in made if isinstance(record, TraceRecord)}
    scored = {record.trace: record for record in made if isinstance(record, ScoreRecord)}
    found = searches(done)
    assert [one.row for one in found] == [row.id for row in asked(rows, 5)]
    for one, row in zip(found, asked(rows, 5), strict=True):
        assert set(one.traces) <= set(traces)
        assert one.id == record_id("run-search", row.id, 0)
        assert sum(node.tokens for node in one.nodes) == one.spent.tokens
        assert one.settings["strategy"] == "beam"
        best = traces[one.traces[one.chosen]]
        assert one.outcome == int(one.answer == row.reference) == best.outcome
        assert one.answer == read_response(best.text).answer
        for uid in one.traces:
            assert len(scored[uid].values) == len(traces[uid].steps)
            assert scored[uid].scorer == one.scorer
    summary = ended(done).summary
    assert summary["accuracy"] == pytest.approx(np.mean([one.outcome for one in found]))
    assert summary["tokens"] == pytest.approx(np.mean([one.spent.tokens for one in found]))


def test_a_killed_run_goes_on_and_writes_nothing_twice(
    done: RunFolder, rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = search_run(tmp_path / "killed", asked(rows, 5), models, strategy="beam")
    lines = done.records.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if b'"kind":"search"' in line or b'"type":"search"' in line]
    assert len(ends) == 5
    left = ends[1] + 3  # two searches, and the first records of the third
    folder.records.write_bytes(b"".join(lines[:left]) + lines[left][:20])
    assert here(folder) == 0, folder.tail_of_log()
    assert [record.id for record in records(folder)] == [record.id for record in records(done)]
    for one, same in zip(searches(folder), searches(done), strict=True):
        assert [node.text for node in one.nodes] == [node.text for node in same.nodes]
        assert (one.answer, one.chosen, one.traces) == (same.answer, same.chosen, same.traces)
    assert ended(folder).summary["rows"] == 3


def test_a_resident_run_tells_the_tree_while_it_grows(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = search_run(tmp_path / "resident", [], models, resident=True, idle_minutes=0.001, temperature=0.7)
    row = asked(rows, 1)[0]
    settings: list[dict[str, str | int]] = [
        {"strategy": "DVTS", "n": 6},
        {"strategy": "best-of-n", "n": 3},
        {"strategy": "DVTS", "n": 6, "seed": 9},
        {"threads": 2},
        {"strategy": "no such"},
    ]
    asks = [SearchRequest(id=f"q{n}", row=row, settings=dict(given)) for n, given in enumerate(settings)]
    requests.append(folder.requests, *asks)
    assert here(folder) == 0, folder.tail_of_log()
    events_of = all_events(folder)
    answers = {event.request: event for event in events_of if isinstance(event, events.Answered)}
    assert [answers[f"q{n}"].error == "" for n in range(5)] == [True, True, True, False, False]
    assert "belong to the run" in answers["q3"].error
    assert "no such" in answers["q4"].error
    by_id = {record.id: record for record in searches(folder)}
    for name in ("q0", "q1", "q2"):
        found = by_id[record_id("run-search", name, 0)]
        nodes: dict[int, SearchNode] = {}
        for event in events_of:
            if isinstance(event, events.Grew) and event.request == name:
                nodes |= event.nodes
        assert tuple(nodes[number] for number in range(len(nodes))) == found.nodes
    traces = [record for record in records(folder) if isinstance(record, TraceRecord)]
    texts: dict[int, str] = {}
    for event in events_of:
        if isinstance(event, events.Wrote):
            assert event.request == "q1"
            before = texts.get(event.trace, "")
            texts[event.trace] = before[: len(before) - event.dropped] + event.text
    ids = by_id[record_id("run-search", "q1", 0)].traces
    assert [texts[place] for place in range(3)] == [next(t.text for t in traces if t.id == uid) for uid in ids]


def test_a_cancelled_request_stops_the_search(rows: list[InputRow], models: dict[str, Path], tmp_path: Path) -> None:
    folder = search_run(tmp_path / "cancel", [], models, resident=True, idle_minutes=0.001)
    row = asked(rows, 1)[0]
    requests.append(
        folder.requests, SearchRequest(id="q", row=row, settings={"n": 64}), CancelRequest(id="c", target="q")
    )
    assert here(folder) == 0, folder.tail_of_log()
    (answer,) = [event for event in all_events(folder) if isinstance(event, events.Answered)]
    assert answer.error == CANCELLED
    assert not folder.records.read_bytes()


def test_a_run_without_a_prm_is_refused_with_what_to_do(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = search_run(tmp_path / "none", asked(rows, 1), {"model": models["model"]}, prm="", strategy="MCTS")
    assert here(folder) == 1
    assert "set `prm`" in ended(folder).message
