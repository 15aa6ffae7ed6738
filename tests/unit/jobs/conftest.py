"""A house of runs for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.jobs.service import Jobs
from tests.unit.jobs.making import House, interpreter_of_tiny_worker, stories


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A workspace with stories and running jobs whose workers are tiny."""
    workspace = stories(tmp_path)
    made = House(workspace, Jobs(workspace, interpreter=interpreter_of_tiny_worker(tmp_path)))
    made.jobs.start()
    yield made
    made.close()
