"""Searches in the store: once, found by trace, problem and run, read with their trees, gone with their batch."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from studio.errors import NotFoundError
from studio.store import batches, searches, trace_tree, traces
from studio.store import schema as s
from studio.store.database import Database
from studio.store.schema_reason import search, search_trace
from tests.unit.store.searches_made import NODES, PROBLEM, add_search, search_record, traces_of
from trainer.contract.generated import SearchNode
from trainer.reasoning.search_tree import lay_out


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(tmp_path / "workspace.db")


def test_a_search_is_stored_once_and_found_in_three_ways(database: Database) -> None:
    with database.write() as c:
        run = add_search(c)
        batch = c.scalar(select(search.c.batch_id))
        again = searches.store_records(c, batch, [search_record(NODES, traces_of(NODES, "a"), "a")])
        assert (again.stored, again.known) == (0, 1)
    with database.read() as c:
        ids = list(c.scalars(select(s.trace.c.id).order_by(s.trace.c.id)))
        (by_run,) = searches.of_run(c, run)
        (by_problem,) = searches.of_problem(c, traces.load(c, ids[0]).problem.id)
        assert searches.of_trace(c, ids[0]) == searches.of_trace(c, ids[1]) == by_run == by_problem
        assert searches.of_trace(c, 999) is None
        assert (by_run.title, by_run.run, by_run.chosen) == ("MCTS, n 3 (min), by policy", "run a", 0)
        assert (by_run.spent.tokens, by_run.spent.prm_calls) == (24, 5)
        read = searches.read(c, by_run.id)
        assert read.nodes == NODES
        assert read.trace_ids == tuple(ids)
        assert [vote.answer for vote in read.votes] == ["4", "5"]
        with pytest.raises(NotFoundError):
            searches.read(c, by_run.id + 1)


def test_a_search_that_finished_nothing_is_kept_with_its_problem(database: Database) -> None:
    with database.write() as c:
        run = add_search(c, nodes=NODES[:3])
    with database.read() as c:
        (found,) = searches.of_run(c, run)
        assert (found.prompt, found.problem_id, found.chosen, found.answer) == (PROBLEM, None, -1, None)
        made = trace_tree.of_search(c, found.id, 0)
        assert (made.own, made.branches) == (-1, ())
        assert made.branch(1) is None


def test_a_search_goes_with_its_batch(database: Database) -> None:
    with database.write() as c:
        run = add_search(c, publish=False)
        batch = c.scalar(select(search.c.batch_id))
        assert searches.of_run(c, run) == (), "a batch that is being written is seen by nobody"
    batches.remove(database, batch)
    with database.read() as c:
        for table in (search, search_trace, s.trace):
            assert c.scalar(select(func.count()).select_from(table)) == 0


def test_the_tree_of_a_search_says_what_the_search_thought(database: Database) -> None:
    with database.write() as c:
        add_search(c)
        add_search(c, "b")
    with database.read() as c:
        first, second = (search_of for search_of in c.scalars(select(search.c.id).order_by(search.c.id)))
        ids = list(c.scalars(select(s.trace.c.id).order_by(s.trace.c.id)))
        known = trace_tree.searches_of(c, ids[1])
        same = len({traces.load(c, one).problem.id for one in ids}) == 1
        assert known.own is not None
        assert known.own.id == first
        assert [one.id for one in known.others] == ([second] if same else [])
        made = trace_tree.of_search(c, first, ids[1])
    assert made.sought is not None
    assert [made.text(node) for node in range(6)] == [
        PROBLEM, "2 + 2 = 5\n", "Answer: 5", "2 + 2 = 4\n", "Answer: 4", "Hm",
    ]  # fmt: skip
    assert made.tree.parent.tolist() == [-1, 0, 1, 0, 3, 3]
    assert made.tree.depth.tolist() == [0, 1, 2, 1, 2, 2]
    assert made.tree.visits.tolist() == [3, 1, 1, 2, 1, 0]
    assert made.tree.row.tolist() == [0.75, 0.0, 0.0, 1.5, 1.0, 2.0]
    assert np.isnan(made.tree.value[0])
    assert made.tree.value[3] == 0.85
    assert made.own == 1
    assert made.tree.of_path[0].tolist() == [0, 3, 4]
    assert [getattr(made.branch(node), "trace_id", None) for node in range(6)] == [
        ids[1], ids[1], ids[1], ids[0], ids[0], None,
    ]  # fmt: skip
    assert made.branches[1].outcome == 0


def test_five_thousand_nodes_are_laid_out_as_the_parents_say() -> None:
    draw = random.Random(1)
    nodes = [SearchNode(-1, "?")]
    nodes += [SearchNode(draw.randrange(max(0, n - 60), n), str(n)) for n in range(1, 5_000)]
    deep = [SearchNode(n - 1, str(n)) for n in range(5_000)]
    for tried in (nodes, deep):
        began = time.process_time()
        laid = lay_out(tried)
        assert time.process_time() - began < 2.0
        assert sorted(laid.order.tolist()) == list(range(len(tried)))
        for at in range(1, len(tried)):
            parent = int(laid.tree.parent[at])
            assert parent < at
            assert laid.order[parent] == tried[laid.order[at]].parent
            assert laid.tree.depth[at] == laid.tree.depth[parent] + 1
    with pytest.raises(ValueError, match="does not stand before it"):
        lay_out([SearchNode(-1, "?"), SearchNode(2, "a"), SearchNode(0, "b")])


def test_a_node_is_found_in_its_trace_however_the_trace_is_cut(database: Database) -> None:
    nodes = (
        SearchNode(-1, "What is 2 + 2?", kept=True),
        SearchNode(0, "Let us see.\nTwo and two.\n", 0.5, 0.5, 1, 9, 1, kept=True),
        SearchNode(1, "Two and two.\nAnswer: 4", 0.8, 0.8, 1, 4, 2, kept=True, trace=0),
    )
    with database.write() as c:
        add_search(c, nodes=nodes)
    with database.read() as c:
        trace_id = int(c.scalar(select(s.trace.c.id)) or 0)
        known = trace_tree.searches_of(c, trace_id).own
        assert known is not None
        made = trace_tree.of_search(c, known.id, trace_id)
        said = [made.text(node) for node in range(3)]
        assert [trace_tree.step_of(c, made, said.index(nodes[k].text)) for k in (1, 2)] == [0, 2]
