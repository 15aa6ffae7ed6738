"""The table of commands: no conflicts as shipped, refusals when rebound, pages enable their own."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.errors import ConflictError
from studio.ui.actions import ACTIONS, MENUS, Actions, Page, by_id
from studio.ui.palette import matching


@pytest.fixture
def actions(qapp: QApplication) -> Actions:
    """Commands as shipped."""
    return Actions()


def test_ids_are_unique_and_menus_known() -> None:
    assert len({a.id for a in ACTIONS}) == len(ACTIONS)
    assert {a.menu for a in ACTIONS} <= set(MENUS)


def test_no_key_is_given_twice_on_a_page(actions: Actions) -> None:
    taken = {
        (a.id, key): rival.id for a in ACTIONS for key in a.keys if (rival := actions.rival(a.id, key)) is not None
    }
    assert not taken


def test_a_command_runs_only_with_handler_and_page(actions: Actions) -> None:
    given: list[str] = []
    actions.on("submit", lambda: given.append("submit"))
    assert not actions.run("submit")  # another page is shown
    actions.show_page(Page.LABEL)
    assert actions.run("submit")
    actions.enable("submit", False)
    assert not actions.run("submit")
    assert not actions.run("give_up")  # nobody handles it
    assert given == ["submit"]


def test_a_taken_key_is_refused_and_a_free_one_is_kept(actions: Actions, qtbot: QtBot) -> None:
    with pytest.raises(ConflictError, match="Give up"):
        actions.set_keys("comment", ("G",))
    assert actions.keys("comment") == ("C",)
    with qtbot.waitSignal(actions.rebound):
        actions.set_keys("comment", ("Ctrl+M",))
    assert actions.overrides() == {"comment": ["Ctrl+M"]}
    again = Actions(actions.overrides())
    assert again.keys("comment") == ("Ctrl+M",)
    actions.set_keys("comment", by_id("comment").keys)
    assert actions.overrides() == {}


def test_every_command_can_be_rebound(actions: Actions) -> None:
    for number, action in enumerate(ACTIONS):
        held, place = divmod(number, 35)  # there are 35 function keys
        key = f"Meta+{('', 'Shift+', 'Ctrl+', 'Alt+', 'Ctrl+Shift+')[held]}F{place + 1}"
        actions.set_keys(action.id, (key,))
        assert actions.keys(action.id) == (key,)
    assert len(actions.overrides()) == len(ACTIONS)


def test_the_same_key_may_serve_two_pages(actions: Actions) -> None:
    assert actions.rival("rate_neutral", "S") is None  # Inspect and Train use S, too
    assert actions.rival("find", "S") is not None  # but what works everywhere may not


def test_the_palette_finds_by_letters_in_order() -> None:
    names = [a.name for a in matching("tdk", ACTIONS)]
    assert names[0] == "Theme: dark"
    assert matching("", ACTIONS) == ACTIONS
    assert matching("qqqq", ACTIONS) == ()
    assert matching("undo", ACTIONS)[0].id == "undo"
