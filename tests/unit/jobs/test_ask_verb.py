"""The verb `ask`: what it asks whom, what it writes while the answer comes, and what it says of it at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from studio import cli
from studio.errors import RunError
from studio.jobs.asking import Question, Way, asking_of
from studio.jobs.asking_verb import Shown, _misspelt, _wait, _with_shipped
from studio.jobs.shipped import ensure
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.store import routes, runs
from studio.workspace import Workspace
from tests.trainer.test_route_recipe import adds
from tests.unit.models.http_servers import Handler, Scripted, served
from trainer.contract.events import Grew, Wrote
from trainer.contract.generated import Spent
from trainer.contract.requests import GenerateRequest, RouteRequest, SearchRequest
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import SpecError, build


def test_each_way_of_answering_is_a_recipe_with_settings_that_it_knows():
    def asked(way: Way, **more: Any) -> Any:
        return asking_of(Question("2 + 2?", "policy", way, **more))

    single = asked(Way.SINGLE, difficulty=0.5, settings={"max_thinking_tokens": "30", "threads": "1"})
    assert (single.recipe, single.models, single.settings) == ("generate", {"model": "policy"}, {"threads": "1"})
    assert isinstance(single.request, GenerateRequest)
    assert single.request.settings == {"max_thinking_tokens": "30", "difficulty": 0.5, "n": 1}
    assert single.watched == {0: ""}
    for way, strategy in {
        Way.MAJORITY: "self-consistency", Way.BEST_OF_N: "best-of-n", Way.BEAM: "beam", Way.DVTS: "DVTS",
        Way.MCTS: "MCTS",
    }.items():  # fmt: skip
        search = asked(way, prm="prm", n=4)
        assert isinstance(search.request, SearchRequest)
        assert (search.recipe, search.models) == ("search", {"model": "policy", "prm": "prm"})
        assert search.request.settings == {"n": 4, "strategy": strategy}
    alone = asked(Way.MAJORITY)
    assert alone.settings == {"strategy": "self-consistency"}  # or the run would need a PRM
    given = {"fast_url": "http://x", "latency": "3"}
    route = asking_of(Question("2?", "policy", routed=True, reasoning="large", n=5, settings=given, reference="4"))
    assert isinstance(route.request, RouteRequest)
    assert (route.models, route.settings) == ({"model": "policy", "reasoning": "large"}, {"fast_url": "http://x"})
    assert (route.request.settings, route.request.row.reference) == ({"latency": "3", "n": 5}, "4")
    assert set(route.watched) == {0, 5}
    for each in (single, alone, route):
        build(each.recipe, {**each.models, **each.settings, **each.request.settings})  # raises where one is unknown


@pytest.mark.parametrize(("given", "words"), [
    ({"problem": " "}, "the problem is empty"),
    ({"problem": "2 + \udcff"}, "bytes that are no UTF-8"),
    ({"reference": "\ud800"}, "bytes that are no UTF-8"),
    ({"model": ""}, "--model MODEL"),
    ({"n": 3}, "--strategy majority or best-of-n"),
    ({"way": Way.BEAM}, "add --prm MODEL"),
    ({"way": Way.BEAM, "routed": True}, "leave --strategy out"),
    ({"reasoning": "large"}, "belong to --router"),
    ({"settings": {"n": "3"}}, "--strategy majority or best-of-n"),
    ({"way": Way.BEAM, "prm": "p", "settings": {"strategy": "DVTS"}}, "--set strategy=DVTS: write --strategy DVTS"),
    ({"settings": {"model": "x"}}, "write --model x"),
    ({"difficulty": 0.5, "settings": {"difficulty": "1"}}, "say the same thing twice"),
    ({"way": Way.MAJORITY, "settings": {"temperature": "0"}}, "among 8 copies; set temperature above 0"),
    ({"way": Way.DVTS, "prm": "p", "n": 1, "settings": {"temperature": "0"}}, "or n and width to 1"),
    ({"routed": True, "reasoning": "x", "settings": {"temperature": "0"}}, "samples of the fast model agree always"),
    ({"routed": True, "reasoning": "x", "prefix": "<think>"}, "begins every answer anew"),
])  # fmt: skip
def test_what_does_not_go_together_is_said(given: dict[str, Any], words: str):
    with pytest.raises(RunError, match=words):
        asking_of(Question(**{"problem": "2 + 2?", "model": "policy"} | given))


@pytest.mark.parametrize(("given", "words"), [
    ({"routed": True, "settings": {"n": "abc"}}, "route.n"),
    ({"settings": {"foo": "1"}}, "generate has no parameter foo"),
    ({"settings": {"wait": "\udcff"}}, "generate.wait = .* bytes that are no UTF-8"),
    ({"difficulty": 3.0}, "difficulty = 3.0 is outside"),
    ({"way": Way.MAJORITY, "n": 0}, "search.n = 0"),
])  # fmt: skip
def test_a_setting_that_cannot_be_is_said_before_anything_is_started(given: dict[str, Any], words: str):
    with pytest.raises(SpecError, match=words):
        asking_of(Question(**{"problem": "2 + 2?", "model": "policy"} | given))


def wrote(trace: int, text: str, *, dropped: int = 0, attempt: int = 1) -> Streamed:
    event = Wrote(
        attempt=attempt, sequence=1, step=0, at=0.0, request="r", trace=trace, text=text, dropped=dropped
    )  # fmt: skip
    return Streamed("r", 1, event)


def test_the_text_is_written_as_it_comes():
    out: list[str] = []
    shown = Shown({0: "the fast model", 3: "the reasoning model"}, out.append, line=False)
    grew = Grew(attempt=1, sequence=1, step=0, at=0.0, request="r", nodes={}, spent=Spent())
    for said in (
        Reply("r", 1, Stage.WAITING, "answering"), Streamed("r", 1, grew), wrote(0, "12"), wrote(1, "unseen"),
        wrote(0, "34"), wrote(0, "5", dropped=2), wrote(3, "99"), wrote(3, "1", attempt=2),
    ):  # fmt: skip
        shown.take(said)
    assert "".join(out) == (
        "[the fast model]\n1234\n[2 characters taken back]\n5\n\n[the reasoning model]\n99\n[begun anew]\n"
        "[the reasoning model]\n1"
    )


def test_where_no_model_is_named_those_that_travel_with_the_app_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Workspace.open(tmp_path / "new", create=True) as workspace:
        beam = _with_shipped(workspace, Question("2 + 2?", "", Way.BEAM))
        shown = capsys.readouterr().err
        made = ensure(workspace)
        assert (beam.model, beam.prm) == (made.policy.uid, made.prm.uid)
        assert "so Tiny policy, led by Tiny PRM, answers;" in shown
        assert "--model" in shown
        majority = _with_shipped(workspace, Question("2 + 2?", "", Way.MAJORITY))
        assert (majority.model, majority.prm) == (made.policy.uid, "")
        for named in (Question("2?", "mine", Way.BEAM), Question("2?", "", routed=True, settings={"fast_url": "x"})):
            assert _with_shipped(workspace, named) == named


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace whose workers are ended when the test is."""
    Workspace.open(tmp_path / "workspace", create=True).close()
    yield tmp_path / "workspace"
    for folder in (tmp_path / "workspace" / "runs").iterdir():
        process = RunFolder(folder).read_process()
        if process is not None and psutil.pid_exists(process.pid):
            worker = psutil.Process(process.pid)
            worker.kill()
            worker.wait(30)


def ask(workspace: Path, small: Scripted, large: Scripted, *more: str) -> int:
    settings = {"fast_url": small.url, "fast_name": "small", "reasoning_url": large.url, "reasoning_name": "large",
                "tries": "1", "threads": "1"}  # fmt: skip
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return cli.main(["ask", "--workspace", str(workspace), "--router", *given, *more])


def test_a_problem_is_asked_answered_and_found_in_the_cache(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """One worker answers all: a sure answer, an escalation as JSON, the same again from the cache, one that hangs."""
    hung: list[int] = []

    def adds_or_hangs(handler: Handler, number: int) -> None:
        if "for ever" in handler.server.seen[number][2]["messages"][-1]["content"]:
            hung.append(number)
            handler.server.free.wait(120)
        else:
            adds(8)(handler, number)

    with served(adds(5)) as small, served(adds_or_hangs) as large:
        assert ask(workspace, small, large, "Sum 1: 12 + 30 = ?") == 0
        out, err = capsys.readouterr()
        assert out == "[the fast model]\n42\n"
        assert err.startswith("answer: 42\n")
        assert "small: asked first; nobody judged the difficulty" in err
        hard = ("Sum 2: 1 + 2 + 3 + 4 + 5 + 6 = ?", "--reference", "21")
        assert ask(workspace, small, large, *hard, "--json") == 0
        first = json.loads(capsys.readouterr().out)
        assert (first["answer"], first["model"], first["outcome"], first["strategy"]) == ("21", "large", 1, "router")
        assert first["why"][1].startswith("large: escalated: P(right) ")
        assert [step["tier"] for step in first["details"]["steps"]] == ["fast", "reasoning"]
        assert {trace["model"] for trace in first["traces"]} == {"small", "large"}
        assert first["cached"] is False
        requests = len(small.seen) + len(large.seen)
        assert ask(workspace, small, large, *hard, "--json") == 0
        again = json.loads(capsys.readouterr().out)
        assert again["cached"] is True
        assert len(small.seen) + len(large.seen) == requests
        assert [trace["id"] for trace in again["traces"]] == [trace["id"] for trace in first["traces"]]
        monkeypatch.setattr("studio.jobs.asking_verb.cancellable", _stopping_when(lambda: bool(hung)))
        assert ask(workspace, small, large, "Sum 3, for ever: 1 + 1 + 1 + 1 + 1 + 1 = ?") == 130
        assert "cancelled" in capsys.readouterr().err
    with Workspace.open(workspace) as opened, opened.database.read() as c:
        (run,) = runs.all_runs(c)
        assert len(routes.of_run(c, run.id)) == 3
    assert cli.main(["cache", "--workspace", str(workspace), "--json"]) == 0
    kept = {each["name"]: each for each in json.loads(capsys.readouterr().out)["models"]}
    assert (kept["large"]["answers"], kept["large"]["counts"]["hits"]) == (1, 1)
    assert cli.main(["cache", "--workspace", str(workspace), "--remove", "--model", "small"]) == 0
    assert capsys.readouterr().out.startswith("3 answers removed\nsmall: 0 answers")


def _stopping_when(happened: Any) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def cancellable() -> Iterator[Any]:
        yield happened

    return cancellable


def test_a_request_that_fails_says_why(tmp_path: Path):
    class Failing:
        def ask(self, recipe: str, models: object, request: object, listener: Any, **more: object) -> str:
            listener(Reply("r", 1, Stage.WAITING, "loading"))
            listener(Reply("r", 1, Stage.FAILED, "no fast model chosen"))
            return "r"

    jobs: Any = Failing()
    asking = asking_of(Question("2?", "policy", routed=True))
    with pytest.raises(RunError, match="no fast model chosen"):
        _wait(jobs, asking, "cpu", None, lambda: False)


def test_a_misspelt_model_is_answered_with_those_that_are_there(tmp_path: Path):
    with Workspace.open(tmp_path / "new", create=True) as workspace:
        ensure(workspace)
        question = Question("2 + 2?", "Tiny polcy", Way.BEAM, prm="Tiny PRM")
        said = _misspelt(workspace, question, "cannot load the model 'Tiny polcy': no such file")
        assert said == " The workspace has no model of this name; it has: Tiny policy, Tiny PRM."
        assert not _misspelt(workspace, question, "search.n = 0 is outside 1 to 4096")
        assert not _misspelt(workspace, Question("2 + 2?", "Tiny policy"), "Tiny policy is a policy")
