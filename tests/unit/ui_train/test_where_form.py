"""Where a run runs, in the form: what is asked for, what is refused and why, and the templates as one edits them."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from studio.jobs import templates
from studio.settings import Settings
from studio.ui.train.template_dialog import TemplateDialog
from studio.ui.train.where_form import WhereForm
from trainer.contract.launch import Launch, Share


@pytest.fixture
def form(qtbot: QtBot) -> WhereForm:
    made = WhereForm(Settings(), "sft")
    qtbot.addWidget(made)
    return made


def choose(form: WhereForm, name: str) -> None:
    form.place.setCurrentIndex(form.place.findData(name))


def test_at_first_it_is_one_process_here(form: WhereForm) -> None:
    assert form.launch() == Launch()
    assert form.about.text() == "One process."
    assert not form.host.isVisibleTo(form)
    assert not form.share.isVisibleTo(form)


def test_several_processes_are_shared_or_spread_and_refused_where_they_cannot_be(form: WhereForm) -> None:
    form.processes.step_by(1)
    form.share.setCurrentIndex(form.share.findData(Share.SPREAD))
    assert form.launch() == Launch(processes=2, share=Share.SPREAD)
    assert "2 processes by accelerate launch" in form.about.text()
    form.set_recipe("rl")
    assert form.about.property("role") == "caption"
    form.set_recipe("score")
    assert "Score runs in one process" in form.about.text()
    form.processes.setText("0")
    form.processes.changed.emit()
    assert "at least one process" in form.about.text()


def test_a_template_asks_for_its_host_and_machines(form: WhereForm) -> None:
    told: list[bool] = []
    form.placeChanged.connect(told.append)
    choose(form, "ssh")
    assert told == [True]
    assert "name the host" in form.about.text()
    assert not form.machines.isVisibleTo(form)
    form.host.setText("gpu4")
    form.host.textEdited.emit("gpu4")
    assert form.launch() == Launch(template="ssh", host="gpu4")
    assert form.about.text() == templates.SHIPPED["ssh"].about
    choose(form, "slurm, shared disk")
    assert not form.host.isVisibleTo(form)
    form.machines.step_by(1)
    assert form.launch() == Launch(template="slurm, shared disk", machines=2)
    choose(form, "")
    assert form.launch() == Launch()


def test_a_template_is_edited_checked_kept_and_put_back(qtbot: QtBot) -> None:
    settings = Settings()
    dialog = TemplateDialog(settings, "ssh")
    qtbot.addWidget(dialog)
    assert dialog.save.isEnabled()
    dialog.texts["start"].setPlainText("{worker} --token=abcdef {oops}")
    assert not dialog.save.isEnabled()
    assert "start has {oops}" in dialog.problems.text()
    assert "password or key" in dialog.problems.text()
    dialog.texts["start"].setPlainText("nohup nice {worker} & echo $!")
    dialog.name.setText("nice")
    with qtbot.waitSignal(dialog.saved):
        dialog.save.click()
    kept = Settings.load().launch_templates
    assert list(kept) == ["nice"]
    assert kept["nice"].start == "nohup nice {worker} & echo $!"
    assert kept["nice"].send == templates.SHIPPED["ssh"].send
    assert list(templates.known(Settings.load())) == [*templates.SHIPPED, "nice"]
