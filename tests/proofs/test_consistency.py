"""Tier 0 finds 1,000 altered answers among 2,000 untouched ones, in the full form: precision 0.98, recall 0.95."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.altered_traces import Made, mixture
from trainer.contract.records import Block, BlockKind, Message
from trainer.reasoning.consistency import check, examine
from trainer.reasoning.safety import Category, Finding

FULL = os.environ.get("STEPLENS_PROOF") == "full"
DATA = Path(os.environ.get("STEPLENS_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
ODD = Path(__file__).resolve().parents[1] / "fixtures" / "monitor" / "answers.jsonl"
SOLUTIONS = DATA / "gsm8k" / "example_model_solutions.jsonl"


def found(made: Made) -> Finding | None:
    """The finding that the values differ, whose spans stand in the trace."""
    text = (made.thinking or "") + made.answer
    for finding in check(made.thinking, made.answer, problem=made.problem):
        assert finding.stands_in(text), finding
        if finding.category is Category.INCONSISTENCY and finding.counterpart is not None:
            assert finding.start < finding.counterpart.start
            return finding
    return None


@pytest.mark.parametrize("with_data", [False, True], ids=["made", "made and GSM8K"])
def test_altered_answers_are_found_and_untouched_ones_are_not(with_data: bool) -> None:
    if with_data and not SOLUTIONS.exists():
        pytest.skip(f"{SOLUTIONS} is not here")
    sizes = (2000, 1000) if FULL else (400, 200)
    traces = mixture(*sizes, seed=2026 + with_data, gsm8k_path=SOLUTIONS if with_data else None)
    assert Counter(made.altered for made in traces) == {False: sizes[0], True: sizes[1]}
    flags = [(made, found(made)) for made in traces]
    right = sum(flag is not None for made, flag in flags if made.altered)
    wrong = [(made, flag) for made, flag in flags if flag is not None and not made.altered]
    missed = [made for made, flag in flags if made.altered and flag is None]
    told = [f"missed {made.source}: {(made.thinking or '')[-120:]!r} -> {made.answer[-120:]!r}" for made in missed]
    told += [f"false {made.source}: {flag.why} | {made.answer[-80:]!r}" for made, flag in wrong if flag is not None]
    print("\n".join([f"precision {right / (right + len(wrong)):.4f} recall {right / sizes[1]:.4f}", *told]))
    assert right / (right + len(wrong)) >= 0.98, told
    assert right / sizes[1] >= 0.95, told


def differs(row: dict[str, Any], answer: str) -> bool:
    """Whether a pair of thinking (or of messages with tools) and answer has a finding that the values differ."""
    parts = [["thinking", row["thinking"]]] if isinstance(row["thinking"], str) else row["thinking"]
    text, messages, blocks = "", list[Message](), list[Block]()
    for kind, said in [*parts, ["answer", answer]]:
        block = Block(BlockKind(kind), len(text), len(text) + len(said))
        text += said + "\n"
        if block.kind is BlockKind.TOOL_RESULT:
            messages += [Message("assistant", tuple(blocks)), Message("tool", (block,))]
            blocks = []
        else:
            blocks.append(block)
    messages.append(Message("assistant", tuple(blocks)))
    found = [f for f in examine(text, messages, row["problem"]).findings if f.category is Category.INCONSISTENCY]
    assert all(f.stands_in(text) for f in found)
    return any(f.counterpart is not None for f in found)


@pytest.mark.parametrize(
    ("sealed", "precision", "recall"), [(False, 0.98, 0.95), (True, 0.9, 0.8)], ids=["open", "sealed"]
)
def test_answers_of_many_forms(sealed: bool, precision: float, recall: float) -> None:
    """464 pairs written by hand in 22 kinds; the rules were mended on the open half alone (docs/monitor.md)."""
    rows = [row for row in map(json.loads, ODD.read_text(encoding="utf-8").splitlines()) if row["sealed"] is sealed]
    false = [(row["kind"], one) for row in rows for one in row["same"] if differs(row, one)]
    hits = [(row["kind"], one, differs(row, one)) for row in rows for one in row["other"]]
    right = sum(hit for *_, hit in hits)
    told = [*(f"false {one}" for one in false), *(f"missed {hit[:2]}" for hit in hits if not hit[2])]
    print("\n".join([f"precision {right / (right + len(false)):.4f} recall {right / len(hits):.4f}", *told]))
    assert right / (right + len(false)) >= precision, told
    assert right / len(hits) >= recall, told
