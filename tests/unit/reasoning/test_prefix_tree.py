"""The tree of tried paths: shared prefixes, visits and values counted anew, a drawing without crossings."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trainer.reasoning.prefix_tree import Path, grow


def random_paths(rng: random.Random, count: int) -> list[Path]:
    return [
        Path(
            tuple(rng.choice(["a b", "c", "d  e"]) for _ in range(rng.randint(0, 5))),
            rng.choice([None, 0, 1]),
            tuple(rng.choice([None, rng.random()]) for _ in range(rng.randint(0, 5))),
        )
        for _ in range(count)
    ]


def test_every_node_counts_the_paths_through_it() -> None:
    rng = random.Random(0)
    for _ in range(60):
        paths = random_paths(rng, rng.randint(1, 12))
        tree = grow(paths)
        prefixes = {p.steps[:k] for p in paths for k in range(len(p.steps) + 1)}
        assert len(tree.parent) == len(prefixes)
        for number, path in enumerate(paths):
            nodes = tree.of_path[number]
            assert len(nodes) == len(path.steps) + 1
            assert [int(tree.parent[n]) for n in nodes[1:]] == [int(n) for n in nodes[:-1]]
            for depth, node in enumerate(nodes):
                prefix = path.steps[:depth]
                through = [p for p in paths if p.steps[:depth] == prefix]
                known = [p.outcome for p in through if p.outcome is not None]
                assert tree.depth[node] == depth
                assert tree.visits[node] == len(through)
                assert tree.ends[node] == sum(p.steps == prefix for p in through)
                assert tree.value[node] == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
                if depth:
                    given = [p.scores[depth - 1] for p in through if len(p.scores) >= depth]
                    scored = [s for s in given if s is not None]
                    assert tree.score[node] == pytest.approx(np.mean(scored) if scored else np.nan, nan_ok=True)
                    assert paths[tree.path[node]].steps[: tree.step[node] + 1] == prefix


def test_no_lines_cross() -> None:
    rng = random.Random(1)
    for _ in range(40):
        tree = grow(random_paths(rng, 15))
        assert sorted(tree.row[[n for n in range(len(tree.parent)) if n not in set(tree.parent)]]) == list(
            range(tree.leaves)
        )
        for depth in range(1, int(tree.depth.max()) + 1):
            at = np.flatnonzero(tree.depth == depth)
            assert np.all(np.diff(tree.row[at]) > 0), "depth-first order is the order from the top"
        for node in range(len(tree.parent)):
            children = np.flatnonzero(tree.parent == node)
            if len(children):
                assert tree.row[node] == (tree.row[children[0]] + tree.row[children[-1]]) / 2


def test_white_space_makes_no_other_step() -> None:
    tree = grow([Path(("x = 1", "y")), Path((" x =\n1 ", "z"))])
    assert len(tree.parent) == 4
    assert tree.visits.tolist() == [2, 2, 1, 1]


def test_long_paths_need_no_recursion() -> None:
    tree = grow([Path([f"step {k}" for k in range(5_000)], 1)])
    assert tree.depth[-1] == 5_000
    assert tree.leaves == 1


def test_nothing_tried() -> None:
    assert grow([]).visits.tolist() == [0]
