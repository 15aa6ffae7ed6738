"""Cycles are collected in the GUI thread alone, however many objects other threads make."""

from __future__ import annotations

import gc
import threading
import weakref

from pytestqt.qtbot import QtBot

from studio.ui.collector import YOUNG, Collector


class Ring:
    """Holds itself."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_end_in_the_gui_thread(qtbot: QtBot) -> None:
    was = gc.isenabled()
    collector = Collector()
    collector.start()
    try:
        ended: list[int] = []
        kept = []
        for _ in range(50):
            ring = Ring()
            kept.append(weakref.ref(ring, lambda _ref: ended.append(threading.get_ident())))
            del ring
        made: list[list[int]] = []

        def busy() -> None:
            made.extend([number] for number in range(20 * YOUNG))

        worker = threading.Thread(target=busy)
        worker.start()
        worker.join()
        assert not ended, "no thread but this one collects"
        qtbot.waitUntil(lambda: len(ended) == 50)
        assert set(ended) == {threading.get_ident()}
    finally:
        collector.stop()
    assert gc.isenabled() == was


def test_older_generations_get_their_turn(qtbot: QtBot) -> None:
    collector = Collector()
    collector.start()
    try:
        before = gc.get_stats()[2]["collections"]
        kept: list[list[int]] = []

        def older() -> bool:
            kept.extend([number] for number in range(YOUNG + 1))
            collector.collect()
            return gc.get_stats()[2]["collections"] > before

        qtbot.waitUntil(older)
    finally:
        collector.stop()
