"""A search as a run writes it, with its traces: for the tests of the store and of the window."""

from __future__ import annotations

from sqlalchemy import Connection

from studio.store import batches, run_traces, runs, searches
from trainer.contract.generated import SearchNode, Spent, Vote
from trainer.contract.records import ScorerRef, SearchRecord, TraceRecord
from trainer.reasoning.recorded import record_of
from trainer.reasoning.response import read_response

PROBLEM = "What is 2 + 2?"
NODES = (
    SearchNode(-1, PROBLEM, visits=3, kept=True),
    SearchNode(0, "2 + 2 = 5\n", 0.2, 0.2, 1, 7, 1),
    SearchNode(0, "2 + 2 = 4\n", 0.9, 0.85, 2, 7, 1, kept=True),
    SearchNode(2, "Answer: 4", 0.8, 0.8, 1, 4, 2, kept=True, trace=0),
    SearchNode(1, "Answer: 5", 0.1, 0.1, 1, 4, 2, trace=1),
    SearchNode(2, "Hm", 0.3, 0.3, 0, 2, 2),
)


def traces_of(nodes: tuple[SearchNode, ...], name: str) -> list[TraceRecord]:
    """The finished traces in their places."""
    texts = {}
    for node in nodes:
        if node.trace >= 0:
            path, at = [node.text], node.parent
            while at > 0:
                path.append(nodes[at].text)
                at = nodes[at].parent
            texts[node.trace] = "".join(reversed(path))
    return [
        record_of(
            read_response(texts[place]), id=f"{name}{place:x}".rjust(32, "0"), row=name, problem=PROBLEM, reference="4",
            model="policy", correct=texts[place].endswith("4"),
        )
        for place in sorted(texts)
    ]  # fmt: skip


def search_record(nodes: tuple[SearchNode, ...], made: list[TraceRecord], name: str) -> SearchRecord:
    """The search that finished these traces; the first answers."""
    return SearchRecord(
        id=f"{name}ffff".rjust(32, "0"), row=name, problem=PROBLEM, reference="4", strategy="MCTS",
        settings={"n": 3, "aggregation": "min"}, nodes=nodes, traces=tuple(one.id for one in made),
        votes=(Vote("4", 1, 0.8), Vote("5", 1, 0.1)), chosen=0 if made else -1, answer="4" if made else None,
        spent=Spent(tokens=24, tokens_read=12, prm_calls=5, prm_tokens=30, seconds=0.5), model="policy",
        scorer=ScorerRef(name="prm", version="v"), outcome=1,
    )  # fmt: skip


def add_search(c: Connection, name: str = "a", nodes: tuple[SearchNode, ...] = NODES, *, publish: bool = True) -> int:
    """Store it under a batch of a run; returns the run."""
    run = runs.prepare(c, uid=name.rjust(32, "e"), name=f"run {name}", recipe="search", device="cpu", host="here",
                       process="")  # fmt: skip
    batch = batches.begin(c, "ingest", source=name, run_id=run)
    made = traces_of(nodes, name)
    run_traces.store_records(c, batch, made)
    searches.store_records(c, batch, [search_record(nodes, made, name)])
    run_traces.show(c, run, f"run {name}", batch)
    if publish:
        batches.publish(c, batch, {})
    return run
