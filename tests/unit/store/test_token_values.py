"""Token values: what is stored comes back to the bit, by any window, and only what is published is seen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from studio.errors import StoreError
from studio.store import batches, token_values, traces
from studio.store.database import Database
from studio.store.schema_inspect import token_values as table
from studio.store.token_values import CHUNK, TokenArrays


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    with closing(Database.open(tmp_path / "d.db")) as opened:
        yield opened


def stored(database: Database, arrays: TokenArrays, *, publish: bool = True) -> int:
    def write(c: object) -> int:
        batch = batches.begin(c, "import", source="a test")  # type: ignore[arg-type]
        made = traces.add(c, traces.from_steps("p", ["x" * 20_000]), batch_id=batch)  # type: ignore[arg-type]
        token_values.put(c, made.trace_id, batch, arrays)  # type: ignore[arg-type]
        if publish:
            batches.publish(c, batch, {})  # type: ignore[arg-type]
        return made.trace_id

    return database.run(write)


def values(count: int, seed: int = 0) -> TokenArrays:
    dice = random.Random(seed)
    rng = np.random.default_rng(seed)
    logprob = -rng.exponential(size=count).astype(np.float32)
    logprob[::7] = np.nan
    alternatives = tuple(tuple((f"t{k}é", -dice.random()) for k in range(dice.randint(0, 3))) for _ in range(count))
    starts = np.sort(rng.integers(0, 20_000, count)).astype(np.uint32)
    return TokenArrays(starts, logprob, rng.random(count).astype(np.float32), alternatives)


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 5])
def test_any_window_is_what_was_put(database: Database, count: int) -> None:
    arrays = values(count)
    trace_id = stored(database, arrays)
    dice = random.Random(1)
    windows = [(0, None), (0, count), (count - 1, count), (0, 0)]
    windows += [tuple(sorted((dice.randint(0, count), dice.randint(0, count)))) for _ in range(12)]
    with database.read() as c:
        assert token_values.count(c, trace_id) == count
        for first, last in windows:
            found = token_values.read(c, trace_id, first, last)
            assert found is not None
            np.testing.assert_array_equal(found.starts, arrays.starts[first:last])
            if len(found):
                np.testing.assert_array_equal(found.logprob, arrays.logprob[first:last])  # type: ignore[index]
                np.testing.assert_array_equal(found.entropy, arrays.entropy[first:last])  # type: ignore[index]
                assert found.alternatives == arrays.alternatives[first:last]  # type: ignore[index]
        chunks = c.scalars(select(table.c.chunk).where(table.c.trace_id == trace_id)).all()
        assert len(chunks) == 4 * -(-count // CHUNK)


def test_what_the_source_lacks_is_absent(database: Database) -> None:
    trace_id = stored(database, TokenArrays(np.array([0, 3], np.uint32), np.array([-1, -2], np.float32)))
    with database.read() as c:
        found = token_values.read(c, trace_id)
        assert found is not None
        assert (found.entropy, found.alternatives) == (None, None)
        assert token_values.read(c, trace_id + 1) is None


def test_unpublished_tokens_are_seen_by_nobody(database: Database) -> None:
    trace_id = stored(database, values(10), publish=False)
    with database.read() as c:
        assert token_values.read(c, trace_id) is None
        assert token_values.count(c, trace_id) == 0


def test_what_does_not_fit_together_is_refused(database: Database) -> None:
    with pytest.raises(StoreError, match="3 values of logprob for 2 tokens"):
        stored(database, TokenArrays(np.array([0, 1], np.uint32), np.zeros(3, np.float32)))
    with pytest.raises(StoreError, match="order of the text"):
        stored(database, TokenArrays(np.array([5, 1], np.uint32)))
