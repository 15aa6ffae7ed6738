"""The cache: what has one key, what comes back, files that are damaged, many processes, and what is removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.unit.routing.simulated import Says, row
from trainer.contract.generated import Spent
from trainer.contract.kept_answers import DAY, Counts, Kept, KeptAnswers, remove, statistics
from trainer.routing.cache import Cached, key_of, normalised
from trainer.routing.values import Effort, Question, Reply


def ask(cache: Cached, *problems: str) -> list[Reply]:
    return cache.ask([Question(row(problem, problem)) for problem in problems], Effort(), lambda: None, None, None)


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and len(path.name) == 64]


def test_what_is_asked_again_comes_from_the_cache_whole(tmp_path: Path):
    model, told = Says(("4", "5"), mean=-0.25), list[str]()
    fresh = Cached(model, tmp_path, on_problem=told.append)
    (first,) = ask(fresh, "2 + 2?")
    assert (fresh.looked.hits, fresh.looked.misses, told) == (0, 1, [])
    again = Cached(model, tmp_path)
    began = time.monotonic()
    (second,) = ask(again, "2 + 2?")
    assert 0 <= second.spent.seconds <= time.monotonic() - began
    assert len(model.asked) == 1
    assert second.samples == first.samples  # traces, answers, log-probs
    assert second.spent.cached
    assert (second.spent.tokens, second.spent.cost) == (0, 0.0)
    assert second.saved == first.spent
    assert (again.looked.hits, again.looked.misses) == (1, 0)


def test_a_kept_answer_is_told_like_one_that_is_written(tmp_path: Path):
    told: list[tuple[int, int, str, bool]] = []
    cache = Cached(Says(("4", "5")), tmp_path)
    ask(cache, "b")
    cache.ask(
        [Question(row("a", "a")), Question(row("b", "b"))], Effort(), lambda: None,
        lambda pieces: told.extend((each.ask, each.trace, each.text, each.done) for each in pieces), None,
    )  # fmt: skip
    assert told == [(1, 0, "The answer is 4.", True), (1, 1, "The answer is 5.", True)]


def test_only_what_is_missing_is_asked(tmp_path: Path):
    model = Says()
    cache = Cached(model, tmp_path)
    ask(cache, "b")
    replies = ask(cache, "a", "b", "c")
    assert [reply.spent.cached for reply in replies] == [False, True, False]
    assert [reply.samples[0].trace.id for reply in replies] == ["fast a 0", "fast b 0", "fast c 0"]
    assert model.asked[1][0] == ("a", "c")


def test_everything_that_shapes_an_answer_is_in_the_key():
    question, effort = Question(row("a", "What is $x  + 1$ for x = 1?")), Effort()

    def key(problem: str = "", *, effort: Effort = effort, identity: str = "m", **more: object) -> str:
        asked = Question(row("another row", problem or question.row.problem), **more)  # type: ignore[arg-type]
        return key_of(asked, effort, identity)

    same = {key(), key(question.row.problem + " \n"), key("\r\n" + question.row.problem), key_of(question, effort, "m")}
    assert len(same) == 1
    others = {
        key("What is $x + 1$ for x = 1?"), key("what is $x  + 1$ for x = 1?"), key("Is $x  + 1$ not 2 for x = 1?"),
        key(identity="other"), key(context="Be brief."), key(difficulty=0.5), key(effort=replace(effort, n=2)),
        *(key(effort=replace(effort, **{name: 0.5})) for name in ("temperature", "top_p")),
        *(key(effort=replace(effort, **{name: 7})) for name in ("thinking", "answer", "seed")),
    }  # fmt: skip
    assert len(others | same) == 12 + 1


def test_normalising_keeps_what_means_something():
    assert normalised("e\u0301a  \r\nb\t\n\n") == "\u00e9a\nb"
    assert normalised("if x:\n    y = 1") != normalised("if x:\ny = 1")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data.replace(b"4", b"5"),
                                    lambda data: b"", lambda data: b"\xff\n{}"])  # fmt: skip
def test_a_damaged_file_is_a_miss_that_is_told(tmp_path: Path, damage):
    model, told = Says(("4",)), list[str]()
    ask(Cached(model, tmp_path), "a")
    (file,) = files_of(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    cache = Cached(model, tmp_path, on_problem=told.append)
    (reply,) = ask(cache, "a")
    assert not reply.spent.cached
    assert [sample.answer for sample in reply.samples] == ["4"]
    assert len(told) == 1
    assert str(file) in told[0]
    assert ask(cache, "a")[0].spent.cached  # it was written anew


def test_what_failed_is_not_kept(tmp_path: Path):
    ask(Cached(Says(problem="it is down"), tmp_path), "a")
    assert files_of(tmp_path) == []
    assert [reply.spent.cached for reply in ask(Cached(Says(), tmp_path), "a")] == [False]

    class Short(Says):
        def _reply(self, question: Question) -> Reply:
            return replace(super()._reply(question), problem="one of two samples failed")

    for lacking in (Short(("4",), name="short"), Says((), name="empty")):
        for _ in range(2):
            (reply,) = ask(Cached(lacking, tmp_path), "a")
            assert not reply.spent.cached


def test_samples_of_another_version_are_a_miss_that_is_told(tmp_path: Path):
    model, told = Says(("4",)), list[str]()
    key = key_of(Question(row("a", "a")), Effort(), model.identity)
    kept = Kept(key=key, at=time.time(), spent=Spent(), value=msgspec.Raw(b'[{"answer": "5"}]'))
    KeptAnswers(tmp_path, model.name, model.identity).put(kept)
    (reply,) = ask(Cached(model, tmp_path, on_problem=told.append), "a")
    assert (reply.samples[0].answer, len(told)) == ("4", 1)
    assert "is of another version" in told[0]


def test_a_folder_that_cannot_be_written_costs_no_answer(tmp_path: Path):
    told: list[str] = []
    (tmp_path / "file").write_text("no folder")
    (reply,) = ask(Cached(Says(("4",)), tmp_path / "file", on_problem=told.append), "a")
    assert reply.samples[0].answer == "4"
    assert any("cannot be kept" in text for text in told)
    assert any("cannot count" in text for text in told)


def test_counts_and_what_was_saved(tmp_path: Path):
    cache = Cached(Says(cost=2.5), tmp_path)
    ask(cache, "a", "b")
    ask(cache, "a")
    ask(cache, "a", "c")
    ask(Cached(Says(name="other"), tmp_path), "a")
    fast, other = statistics(tmp_path)
    assert (fast.name, fast.answers) == ("fast", 3)
    assert fast.counts == Counts(hits=2, misses=3, saved_cost=5.0, saved_seconds=0.0, saved_tokens=10)
    assert fast.bytes == sum(file.stat().st_size for file in files_of(tmp_path) if other.name.encode() not in
                             file.read_bytes())  # fmt: skip
    assert (other.answers, other.counts.misses) == (1, 1)
    assert statistics(tmp_path / "none") == ()


def test_answers_are_removed_by_model_age_or_all(tmp_path: Path):
    for name in ("fast", "other"):
        ask(Cached(Says(name=name), tmp_path), "a", "b")
    assert remove(tmp_path, model="fast") == 2
    assert [each.answers for each in statistics(tmp_path)] == [0, 2]
    old = files_of(tmp_path)[0]
    os.utime(old, (time.time() - 3 * DAY,) * 2)
    assert remove(tmp_path, older_than_days=5) == 0
    assert remove(tmp_path, older_than_days=2) == 1
    assert remove(tmp_path) == 1
    assert remove(tmp_path) == 0
    assert remove(tmp_path / "none") == 0


def test_answers_that_are_too_old_are_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ask(Cached(Says(), tmp_path), "a")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * DAY)
    assert ask(Cached(Says(), tmp_path, days=3), "a")[0].spent.cached
    assert not ask(Cached(Says(), tmp_path, days=1), "a")[0].spent.cached


WRITER = """
import sys
from pathlib import Path
from tests.unit.routing.simulated import Says, row
from trainer.routing.cache import Cached
from trainer.routing.values import Effort, Question
cache = Cached(Says(("4",) * 50), Path(sys.argv[1]), on_problem=lambda text: sys.exit(text))
for k in range(60):
    (reply,) = cache.ask([Question(row(f"p{k % 7}"))], Effort(), lambda: None, None, None)
    assert [sample.answer for sample in reply.samples] == ["4"] * 50
"""


def test_several_processes_share_it(tmp_path: Path):
    """Four at once write and read the same seven keys: nobody sees a torn file, no count is lost."""
    root = Path(__file__).resolve().parents[3]
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=root) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0] * 4
    (found,) = statistics(tmp_path)
    assert found.answers == 7
    assert found.counts.hits + found.counts.misses == 4 * 60
    assert found.counts.misses >= 7
    assert not list(tmp_path.rglob(".aside-*"))
