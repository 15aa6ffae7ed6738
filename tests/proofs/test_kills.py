"""No acknowledged rating is lost: a process that rates is killed (SIGKILL) at random moments, again and again.

The child rates through the real Database and its writer thread and prints a line after every commit that returned.
After each kill the workspace is opened anew: SQLite finds it sound, every printed rating is there, and history, ratings
and annotations agree. 200 kills with STEPLENS_PROOF=full.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from studio.store import annotations, backup, history, projects
from studio.store import schema as s
from studio.store.database import Database
from tests.unit.store.making import Small, small

KILLS = 200 if os.environ.get("STEPLENS_PROOF") == "full" else 8
STEPS = 12

CHILD = f"""
import random, sys
from pathlib import Path
from studio.store import annotations, queue
from studio.store.database import Database
from trainer.contract.records import Rating

path, project, person, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
dice, database = random.Random(seed), Database.open(path)
def say(*words): print(*words, flush=True)
while True:
    trace = database.submit(lambda c: queue.next_trace(c, project, person)).result()
    if trace is None:
        say("end")
        break
    work = annotations.Work(project, trace, person)
    with database.read() as c:
        begun = annotations.current(c, work)
    start = 0 if begun is None else next((n for n in range({STEPS}) if begun.value(n) is None), {STEPS})
    for ordinal in range(start, {STEPS}):
        value = dice.choice([Rating.POSITIVE] * 12 + [Rating.NEUTRAL] * 3 + [Rating.NEGATIVE])
        if begun is not None and begun.first_negative is not None:
            break
        rated = database.submit(lambda c: annotations.rate(c, work, ordinal, value)).result()
        say("rated", rated.entry.id, rated.annotation.id, ordinal, int(value), rated.annotation.revision)
        if dice.random() < 0.1:
            undone = database.submit(lambda c: annotations.undo(c, person, project)).result()
            say("entry", undone.entry.id)
            redone = database.submit(lambda c: annotations.redo(c, person, project)).result()
            say("entry", redone.entry.id)
        if value is Rating.NEGATIVE:
            break
    sent = database.submit(lambda c: annotations.submit(c, work, active_ms=9)).result()
    say("entry", sent.entry.id)
"""


def start(here: Small, person: int, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(here.database.path), str(here.project.id), str(person), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_soon(child: subprocess.Popen[str], dice: random.Random) -> list[list[str]]:
    """Let it rate for a random while, kill it, and return what it acknowledged."""
    assert child.stdout is not None
    assert child.stderr is not None
    first = "".join(child.stdout.readline() for _ in range(dice.randint(1, 40)))
    time.sleep(dice.random() * 0.05)
    child.kill()
    rest = child.stdout.read()
    child.wait()
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert errors == ""
    lines = (first + rest).split("\n")
    return [line.split() for line in lines[:-1] if line]  # a torn last line was not acknowledged in full


def check(path: Path, told: list[list[str]]) -> int:
    """Open the workspace again and look for everything that was acknowledged; returns the entries there are."""
    assert backup.quick_check(path) == ()
    database = Database.open(path)
    with database.read() as c:
        assert c.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        assert c.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert history.differences(c) == ()
        known = {row.id: row for row in c.execute(select(s.history))}
        for kind, number, *words in told:
            entry = known[int(number)]
            if kind == "rated":
                annotation, ordinal, value, _ = map(int, words)
                assert (entry.annotation_id, entry.ordinal, entry.new["rating"]["value"]) == (
                    annotation,
                    ordinal,
                    value,
                )
        done = dict(c.execute(select(s.project_trace.c.trace_id, s.project_trace.c.done)).all())  # type: ignore[arg-type]
        sent = select(s.annotation.c.trace_id, func.count()).where(s.annotation.c.state == "submitted")
        counted = dict(c.execute(sent.group_by(s.annotation.c.trace_id)).all())  # type: ignore[arg-type]
        assert {trace: count for trace, count in done.items() if count} == counted
    database.close()
    return len(known)


def test_no_acknowledged_rating_is_lost_by_kills(tmp_path: Path) -> None:
    dice = random.Random(os.urandom(8))
    here = small(tmp_path, traces_wanted=40 * KILLS, steps=STEPS)
    here.database.close()
    told: list[list[str]] = []
    for number in range(KILLS):
        told += kill_soon(start(here, here.ada.id, number), dice)
        if number % 10 == 9 or number == KILLS - 1 or KILLS < 20:
            entries = check(here.database.path, told)
    rated = sum(line[0] == "rated" for line in told)
    print(f"{KILLS} kills, {rated} acknowledged ratings, {entries} entries in the history")
    assert rated > KILLS
    assert len({line[1] for line in told if line[0] == "rated"}) == rated  # each was another entry


@pytest.mark.parametrize("people", [6 if KILLS == 200 else 3])
def test_several_processes_rate_at_once_without_a_locked_error(tmp_path: Path, people: int) -> None:
    here = small(tmp_path, traces_wanted=6 * people, steps=STEPS)
    with here.database.write() as c:
        persons = [projects.ensure_annotator(c, f"P{n}").id for n in range(people)]
    children = [start(here, person, person) for person in persons]
    told = []
    for child in children:
        out, errors = child.communicate(timeout=300)
        assert errors == ""
        assert child.returncode == 0
        assert out.endswith("end\n")
        told += [line.split() for line in out.splitlines() if line != "end"]
    here.database.close()
    assert check(here.database.path, told) == len(told)
    again = Database.open(here.database.path)
    with again.read() as c:
        for trace in here.traces:  # overlap 1: each trace exactly once, whoever it was
            assert [a.state for a in annotations.of_trace(c, trace)] == ["submitted"]
    again.close()
