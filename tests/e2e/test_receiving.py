"""Somebody lets another program send its spans: the switch, the line below, and the list that grows."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

from studio.ui.preferences import Preferences
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat

SPANS = (Path(__file__).parents[1] / "fixtures" / "formats" / "otel_genai.json").read_bytes()


def test_spans_that_are_sent_stand_in_the_list_at_once(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        model = go_to_inspect(seat).traces.model
        seat.wait(lambda: model.rowCount() == 3)
        assert seat.context.receiving.receiver is None
        assert not seat.window.status.receiving.isVisible()
        preferences = Preferences(seat.context, seat.window)
        preferences.show()
        preferences.port.setValue(taken.getsockname()[1])
        preferences.receive.click()
        assert "choose another port" in preferences.received.text()
        assert seat.window.status.receiving.text() == "OTLP is off: see Preferences"
        taken.close()
        preferences.receive.click()
        preferences.receive.click()
        receiver = seat.context.receiving.receiver
        assert receiver is not None
        assert receiver.address in preferences.received.text()
        asked = urllib.request.Request(receiver.address, SPANS, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.status == 200
        seat.wait(lambda: model.rowCount() == 4)
        seat.wait(lambda: seat.window.status.receiving.text() == f"OTLP on {receiver.port}, 1 trace")
        seat.picture("receiving spans")
        assert preferences.grab().save(str(seat.picture("receiving").with_name("receiving-preferences.png")))
        preferences.receive.click()
        assert not seat.window.status.receiving.isVisible()
        preferences.receive.click()
        preferences.close()
    with sit_down() as seat:
        seat.wait(lambda: seat.context.receiving.receiver is not None)  # as it was left
