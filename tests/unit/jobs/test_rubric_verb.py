"""Rubrics without a window: the rule's hits as JSON, and what a classifier or judge would take before either looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio import cli
from studio.jobs import grid, prepare
from studio.jobs.values import Preview, RunOrder
from studio.store import batches, flag_words, projects, rubrics, traces
from studio.store.flag_words import NewFlag
from studio.store.rows import Selection
from studio.store.rubrics import Draft, Example, HitState
from studio.workspace import Workspace
from trainer.contract.rubrics import RubricCard, RubricExample
from trainer.contract.specs.monitor import MonitorTask
from trainer.reasoning import likeness, rubric_asks
from trainer.reasoning.judging import CHARACTERS_A_TOKEN
from trainer.reasoning.safety import Category
from trainer.reasoning.segment import Span

TEXTS = ("Wait, that is wrong.", "Wait, that is quite wrong.", "Wait: no more than 5.", "All is well.")
LONG = Draft("Doubt", "Turns back.", "wait", examples=tuple(Example(True, f"Wait {k}") for k in range(3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Workspace.open(tmp_path / "w", create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for text in TEXTS:
            traces.add(c, traces.from_steps("What?", [text]), batch_id=batch, project_id=project)
        batches.publish(c, batch, {})
        rubrics.save(c, LONG)
    return tmp_path / "w"


def said(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, code: int = 0) -> dict[str, object]:
    done = cli.main(["failures", "--workspace", str(folder), "--rubric", "Doubt", *words, "--json"])
    out = capsys.readouterr().out
    assert done == code, out
    document: dict[str, object] = json.loads(out)
    return document


def test_by_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needed = said(capsys, folder, "--dry-run")
    assert (needed["traces"], needed["questions"], needed["money"]) == (4, 0, 0.0)
    with Workspace.open(folder) as opened, opened.database.read() as c:
        assert rubrics.all_of(c)[0].traces == 0, "a dry run looks at nothing"
    told = said(capsys, folder, code=1)
    assert (told["hits"], told["traces"], told["by"]) == (3, 3, "rule")
    assert cli.main(["failures", "--workspace", str(folder), "--rubric", "None"]) == 1
    assert "there are: Doubt" in capsys.readouterr().err
    with Workspace.open(folder) as opened, opened.database.write() as c:
        (rubric,) = rubrics.all_of(c)
        hit = rubrics.found(c, rubric.id)[0]
        rubrics.review(c, hit.id, HitState.REJECTED)
    assert said(capsys, folder, code=1)["hits"] == 3, "what a person judged is not found a second time"
    with Workspace.open(folder) as opened, opened.database.read() as c:
        assert rubrics.all_of(c)[0].traces == 2


def test_what_a_judge_would_cost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "judge_url=http://127.0.0.1:9/v1", "--set", "price_input=3", "--set", "price_output=15")
    needed = said(capsys, folder, "--by", "judge", "--dry-run", *settings)
    assert needed["questions"] == 8
    assert needed["tokens_written"] == 4 * 404
    money = (float(str(needed["tokens_read"])) * 3 + 4 * 404 * 15) / 1e6
    assert needed["money"] == pytest.approx(money, rel=1e-3)
    assert needed["seconds"] == pytest.approx(10 + 8 * rubric_asks.QUESTION_SECONDS / 8), "as many at once"
    assert "assumed" in str(needed["basis"])
    assert cli.main(["failures", "--workspace", str(folder), "--rubric", "Doubt", "--by", "judge"]) == 1
    assert "choose the model that judges" in capsys.readouterr().err


def test_a_classifier_needs_examples(folder: Path) -> None:
    with Workspace.open(folder) as opened:
        with opened.database.write() as c:
            rubrics.save(c, Draft("Bare", "", "x"))
        orders = [RunOrder("rubric", {"rubric": name}, Selection()) for name in ("Doubt", "Bare", "None")]
        found = [grid.preview(opened, (prepare.checked(order),)) for order in orders]
    assert found[0].problems == ()
    assert "has 0 examples" in found[1].problems[0]
    assert "there are: Bare, Doubt" in found[2].problems[0]


def test_a_monitor_says_what_it_would_learn_from(folder: Path) -> None:
    def asked(opened: Workspace, **settings: object) -> Preview:
        return grid.preview(opened, (prepare.checked(RunOrder("monitor", settings, Selection())),))

    learn = MonitorTask.TRAIN.value
    with Workspace.open(folder) as opened:
        assert "made-up examples alone" in asked(opened, task=learn).warnings[0]
        assert "nothing was reviewed" in asked(opened, task=learn, seed_examples=False).problems[0]
        assert "nothing looks" in asked(opened, rules=False).problems[0]
        with opened.database.write() as c:
            ada = projects.ensure_annotator(c, "Ada").id
            flag_words.mark_clean(c, 1, ada, [Category.GAMING])
            flag = flag_words.add(c, NewFlag(2, Category.GAMING, 0, 4), ada)
            assert flag
        found = asked(opened, task=learn, seed_examples=False)
        assert found.problems == ()
        assert "those 2 of these traces" in found.warnings[0]


def test_a_long_trace_is_asked_about_in_windows() -> None:
    card = RubricCard(uid="u", name="n", version=1, told=(RubricExample(True, "it"),))
    length, tokens = 100_000, 1000
    number = len(rubric_asks.windows("x" * length, tokens))
    assert number > 10
    counted = rubric_asks.cost(card, [length], tokens)
    assert counted.questions == number + 1
    assert counted.tokens_read > length / CHARACTERS_A_TOKEN


def test_only_what_stands_there_word_for_word_is_a_passage() -> None:
    text = "First words here. Then some more words. First words here."
    reply = "none of it\n- “Then some more words”\n* First words here.\n3. nowhere to be found\n- short\nThen some more"
    found = rubric_asks.passages_in(reply, text, Span(0, len(text)))
    assert [span.of(text) for span in found.spans] == ["Then some more words", "First words here."]
    assert found.spans[1].start == 0
    assert found.made_up == 1
    assert rubric_asks.passages_in(reply, text, Span(18, 39)).made_up == 2, "outside of what was shown"


def test_quotes_that_say_the_same_go_together() -> None:
    doubts = [
        "Wait, that is not right.",
        "wait,  THAT is not right.",
        "Wait, that is not quite right.",
        "that is not right",
    ]
    sums = ["We add 3 and 4.", "We add 17 and 5.", "So we add 8 and 9."]
    texts = [doubts[0], sums[0], doubts[1], "Something else entirely", doubts[2], sums[1], doubts[3], sums[2]]
    assert likeness.groups(texts) == [[0, 2, 4, 6], [1, 5, 7], [3]]
    assert likeness.groups([]) == []
    many = [f"{word} is said in this sentence number {k}" for k in range(400) for word in ("alpha beta", "gamma delta")]
    grouped = likeness.groups([*texts, *(f"filler{k} word{k}" for k in range(700)), *many])
    whole = [place for group in grouped for place in group]
    assert sorted(whole) == list(range(8 + 700 + 800))
