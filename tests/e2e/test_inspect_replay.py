"""Somebody replays a conversation: turns, thinking and tools, tokens, the clock, one cursor for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTabBar, QWidget
from sqlalchemy import update

from studio.store import schema
from studio.ui.inspect.clock import ClockKind
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.page import InspectPage
from tests.e2e.conversing import AFTER, ANSWER, QUESTION, RESULT, THINKING, fill_talk, talk, tokens_of
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat
from trainer.contract.records import BlockKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One conversation with tools, times, a budget and token values."""
    path = tmp_path / "workspace"
    fill_talk(path)
    return path


def line_with(page: InspectPage, words: str) -> int:
    return next(row for row, line in enumerate(page.steps.lines) if words in line)


def test_pictures(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        for width, height in ((1280, 800), (1920, 1080)):
            seat.window.resize(width, height)
            for theme in ("light", "dark"):
                seat.context.actions.run(f"theme_{theme}")
                seat.wait(lambda: page.steps.is_ready)
                seat.picture(f"conversation {theme} {width}")
        seat.press("h", page.steps)
        seat.picture("conversation heat dark")
        seat.context.actions.run("theme_light")
        seat.picture("conversation heat light")


def test_thinking_answer_tools_and_what_cannot_be_read_are_told_apart(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        lines = page.steps.lines
        assert any(line.endswith("assistant · 10:00:02") for line in lines)
        assert sum(line.startswith("thinking") for line in lines) == 2
        assert any("redacted: present, not readable" in line for line in lines)
        assert any("summary by the provider" in line for line in lines)
        assert any(line.startswith("markup <think>") for line in lines)
        assert not any("debug line" in line for line in lines), "tool results begin folded"
        assert not any("EncryptedReasoning" in line for line in lines)
        row = line_with(page, "python: tool result · 41 lines")
        page.steps.toggle(int(page.steps.shown.numbers[row]))
        assert any("debug line 39" in line for line in page.steps.lines)
        assert page.problem.isHidden()
        assert not page.turns.isHidden()
        model = page.turns.turns
        said = [str(model.index(row).data()).strip() for row in range(model.rowCount())]
        assert said == [
            "1  system", "2  user", "3  assistant", "thinking", "→ import sympy as s", "4  tool  python", "← [14]",
            "5  assistant", "redacted", "summary", "thinking", "answer",
        ]  # fmt: skip


def test_evidence_begins_with_the_result_and_tells_units(sit_down: Callable[[], Seat]) -> None:
    answer = "fourteen, " * 12
    with sit_down() as seat:
        seat.context.workspace.database.run(lambda c: c.execute(update(schema.trace).values(answer=answer)).close())
        page = go_to_inspect(seat)
        page.go(0)
        opened = page.shown
        assert opened is not None
        (first, result), (second, step), *_ = page.evidence.facts()
        assert first == "Result"
        assert [(fact.name, fact.value) for fact in result] == [
            ("outcome", "✓ right"), ("answer", answer), ("reference", "14"),
        ]  # fmt: skip
        head = page.evidence.topLevelItem(0)
        assert head is not None
        heights = [page.evidence.visualItemRect(head.child(row)).height() for row in range(3)]
        assert heights[1] > 2.5 * heights[2]  # a long answer takes the lines that it needs
        assert second == "Step 1 of 8"
        told = {fact.name: fact.value for fact in step}
        values = tokens_of(opened.trace.text)
        assert values.logprob is not None
        span = opened.trace.segmentation.steps[0]
        mine = [float(v) for at, v in zip(values.starts, values.logprob, strict=True) if span.start <= at < span.end]
        assert told["mean log-probability"] == f"{sum(mine) / len(mine):.3f} nats"
        assert told["part of"] == f"thinking, turn 3\n{span.end - span.start} characters"
        page.go(2)
        step_head = page.evidence.topLevelItem(1)
        assert step_head is not None
        seat.wait(lambda: step_head.text(0) == "Step 3 of 8")
        assert head.text(0) == "Result"


def test_as_the_user_sees_it_hides_thinking_and_tools(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("u", page.steps)
        seen = "\n".join(page.steps.lines)
        assert "The answer is" in seen
        assert "What is x?" in seen
        for hidden in ("Call the numerator", "sympy", "<think>", "careful mathematician", "redacted", "summary"):
            assert hidden not in seen
        seat.picture("conversation as the user sees it")
        seat.press("u", page.steps)
        assert "Call the numerator" in "\n".join(page.steps.lines)


def test_one_cursor_moves_everything(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        text = opened.trace.text
        page.go(0)
        seat.press("j j", page.steps)
        point = text.index("So $5x=6x-7$")
        here = page.place.position
        assert (here.step, here.point, here.token, here.message) == (2, point, point // 4, 2)
        assert page.steps.current == 2
        assert page.map.accessibleDescription().startswith(f"{opened.count} steps, at step 3")
        assert page.replay.step.text() == f"step 3/{opened.count}"
        assert page.replay.scrubber.second == pytest.approx(opened.clock.time_at(point))
        head = page.evidence.topLevelItem(1)
        assert head is not None
        seat.wait(lambda: head.text(0) == f"Step 3 of {opened.count}")
        seat.context.actions.run("next_token")
        assert page.place.position.token == point // 4 + 1
        seat.context.actions.run("previous_token")
        assert page.place.position.token == point // 4
        page.turns.turnChosen.emit(4)
        assert page.place.position.message == 4
        page.replay.scrubber.sought.emit(opened.clock.length)
        assert page.place.position.point == len(text)


def test_the_clock_is_the_sources_own_and_waits_are_known(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.shown is not None
        clock = page.shown.clock
        assert clock.kind is ClockKind.TIMESTAMPS
        assert page.replay.clock.text() == "clock: timestamps"
        assert clock.length == pytest.approx(52)
        assert (30.0) in [round(wait.end - wait.start, 3) for wait in clock.waits]
        assert page.replay.budget.words == "thinking 1,000/3,600, answer 212/496 tokens · closed itself"


def test_space_plays_and_stands_and_speed_changes(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.go(0)
        before = page.place.position.point
        page.player.set_speed(32.0)
        seat.press("Space", page.steps)
        assert page.player.playing
        seat.wait(lambda: page.place.position.point > before + 100)
        seat.picture("conversation playing")
        seat.press("Space", page.steps)
        assert not page.player.playing
        assert page.shown is not None
        here = page.place.position
        assert here.step == page.shown.structure.step_at(here.point)
        seat.context.actions.run("replay_slower")
        assert page.player.speed == 16.0
        assert page.replay.speed.currentText() == "16×"


def test_the_next_backtrack_is_where_the_thinking_turns_back(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.go(0)
        seat.context.actions.run("next_backtrack")
        assert page.shown is not None
        assert page.step is not None
        assert page.shown.trace.step_text(page.step).startswith("Wait,")
        seat.context.actions.run("next_flag")
        assert "no further flag" in seat.window.status.currentMessage()


def test_tokens_are_coloured_and_say_what_else_could_have_stood_there(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("h", page.steps)
        assert page.steps.text.heat is Heat.LOGPROB
        values = tokens_of(talk().text)
        assert values.logprob is not None
        assert page.steps.text.heat_map is not None
        least = int(values.logprob.argmin())
        assert page.steps.text.heat_map.shade[least] == page.steps.text.heat_map.shade.max()
        page.go(0)
        row = page.steps.row_of(page.place.position)
        assert row is not None
        rect = page.steps.rect_of(row)
        place = QPoint(100, int(rect.top()) + 18)
        seat.wait(lambda: "other" in page.steps.tips.at(place))
        words = page.steps.tips.at(place)
        assert "50.0%" in words
        assert "25.0%" in words
        assert "log-probability" in words
        QTest.mouseClick(page.steps.viewport(), Qt.MouseButton.LeftButton, pos=place)
        assert page.place.position.token * 4 <= page.place.position.point
        seat.press("h", page.steps)
        assert page.steps.text.heat is Heat.NONE


def test_every_character_of_the_source_can_be_brought_to_sight(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        for place in opened.structure.blocks:
            page.steps.reveal(place.start)
        shown = {int(line) for line in page.steps.shown.numbers}
        covered = "".join(
            opened.trace.text[int(opened.structure.start[n]) : int(opened.structure.end[n])] for n in sorted(shown)
        )
        for part in (QUESTION, THINKING, RESULT, AFTER, ANSWER, "</think>", "EncryptedReasoning/"):
            assert "".join(part.split()) in "".join(covered.split())
        assert opened.structure.blocks[-1].kind is BlockKind.ANSWER


def test_each_lane_says_how_far_it_can_be_trusted(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        lanes = page.lanes
        assert page.strip.note.text() == "○ absent: no PRM has scored this trace"
        values = tokens_of(opened.trace.text)
        assert values.logprob is not None
        mean = float(values.logprob.astype("float64").mean())
        assert lanes.tokens.words.text() == (
            f"● measured: log-probability of {len(values):,} tokens, mean {mean:.2f} nats; taller: less likely"
        )
        assert lanes.tokens.button.isHidden()
        said = lanes.timeline.words.text()
        assert said.startswith("● measured: thinking ")
        assert "wait 31 s" in said  # 30 s for the tool to begin, 1 s before the last turn
        assert "tokens/s" in said
        for panel, name in ((lanes.tokens, "tokens"), (lanes.timeline, "timeline")):
            lanes.setCurrentWidget(panel)
            seat.picture(f"conversation lane {name}")


def test_a_click_on_a_lane_moves_the_cursor(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        opened = page.shown
        assert opened is not None
        assert opened.tokens is not None
        lanes = page.lanes
        lanes.setCurrentWidget(lanes.tokens)
        plot = lanes.tokens.lane.plot_rect()
        seat.wait(lambda: lanes.tokens.lane.plot_rect().width() > 100)
        QTest.mouseClick(lanes.tokens.lane, Qt.MouseButton.LeftButton, pos=plot.center().toPoint())
        assert page.place.position.token == pytest.approx(len(opened.tokens) / 2, abs=2)
        seat.press("Right", lanes.tokens.lane)
        seat.press("Home", lanes.tokens.lane)
        assert page.place.position.token == 0
        lanes.setCurrentWidget(lanes.timeline)
        plot = lanes.timeline.lane.plot_rect()
        middle = QPoint(int(plot.left() + plot.width() / 2), int(plot.center().y()))
        QTest.mouseClick(lanes.timeline.lane, Qt.MouseButton.LeftButton, pos=middle)
        assert page.player.second == pytest.approx(opened.clock.length / 2, rel=0.02)
        assert page.place.position.message == 3


def test_the_map_shows_tools_between_the_steps(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.shown is not None
        words = [page.map.words(row) for row in range(len(page.map._rows))]
        assert words[:3] == [
            "other content, as the source has it · 1 line",
            "other content, as the source has it · 1 line",
            "step 1",
        ]
        row = next(row for row, said in enumerate(words) if "python: tool result" in said)
        page.map.rowJumped.emit(row)
        assert page.place.position.message == 3
        assert any("debug line 39" in line for line in page.steps.lines), "it is unfolded"


def test_everything_that_takes_the_focus_has_a_name(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        silent = [
            f"{type(widget).__name__} in {type(widget.parent()).__name__}"
            for widget in page.findChildren(QWidget)
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            and widget.isVisible()
            and not (widget.accessibleName() or getattr(widget, "text", lambda: "")())
            and not isinstance(widget, QTabBar)
        ]
        assert not silent
