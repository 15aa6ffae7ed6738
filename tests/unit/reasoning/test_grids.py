"""Grids of ARC-AGI: written, asked, and read again however they are written."""

from __future__ import annotations

import json
import random

import pytest

from trainer.reasoning.grids import NotAGrid, as_text, asked, grid, read_grid


def drawn(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    width = draw.randint(1, 30)
    return tuple(tuple(draw.randint(0, 9) for _ in range(width)) for _ in range(draw.randint(1, 30)))


def test_every_way_of_writing_a_grid_is_read() -> None:
    draw = random.Random(1)
    for _ in range(60):
        cells = drawn(draw)
        listed = [list(row) for row in cells]
        written = [
            as_text(cells),
            f"So the answer is:\n\n{as_text(cells)}\n",
            f"```\n{as_text(cells)}\n```",
            "\n".join("".join(map(str, row)) for row in cells),
            "\n".join(", ".join(map(str, row)) for row in cells),
            json.dumps(listed),
            "Output: \n[\n" + ",\n".join(str(row) for row in listed) + "\n]",
        ]
        assert [read_grid(text) for text in written] == [cells] * len(written)


def test_of_several_grids_the_last_counts() -> None:
    assert read_grid("1 2\n3 4\n\nor rather\n\n5 6\n7 8") == ((5, 6), (7, 8))
    assert read_grid("1 2\n\n3 4") == ((3, 4),)
    assert read_grid("1 2 3\n4 5") == ((4, 5),)
    assert read_grid("there is none") is None
    assert read_grid("") is None
    assert read_grid("1 " * 31) is None


def test_a_grid_is_checked() -> None:
    assert grid([[1, 2], [3, 4]]) == ((1, 2), (3, 4))
    for wrong in ([], [[]], [[1], [1, 2]], [[10]], [[-1]], [["1"]], [[True]], "12", [[0] * 31], [[0]] * 31):
        with pytest.raises(NotAGrid):
            grid(wrong)


def test_the_problem_ends_where_the_output_begins() -> None:
    text = asked([(((1,),), ((2,),))], ((3, 4), (5, 6)))
    assert text == "Example 1\nInput:\n1\nOutput:\n2\n\nTest\nInput:\n3 4\n5 6\nOutput:"
