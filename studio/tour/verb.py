"""The guided tour: the real window, offscreen, driven by key presses through the whole journey, with pictures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import SteplensError
from studio.exchange.telling import CANCELLED, Stop, cancellable
from studio.settings import Settings, Theme
from studio.tour.plan import Plan

if TYPE_CHECKING:
    from studio.app import Studio


CANCEL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Visit:
    """Where one tour works, where it leaves its pictures, and whether somebody wants it to end."""

    workspace: Path
    scratch: Path
    pictures: Path
    stop: Stop


def tour(args: argparse.Namespace, plan: Plan | None = None) -> int:
    """`steplens tour`: exit code 0 when every stage came to its end, 130 after Ctrl+C.

    Keeps a workspace only where --workspace says. `plan`: other sizes for the long form.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    pictures = _folder_for(args.screenshots or Path("tour"))
    with tempfile.TemporaryDirectory(prefix="steplens-tour-") as folder:
        # the visitor's own settings stay as they are
        os.environ["XDG_CONFIG_HOME"] = folder
        if args.long and plan is None:
            plan = Plan()
        with cancellable() as stop:
            visit = Visit(args.workspace or Path(folder) / "workspace", Path(folder), pictures, stop)
            return _walk(visit, plan if args.long else None)


def _folder_for(pictures: Path) -> Path:
    """The folder, made where there is none, before anything else takes its time. Raises SteplensError."""
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=pictures):
            return pictures
    except OSError as error:
        where = f"{pictures.absolute()}: {error.strerror}"
        raise SteplensError(
            f"no picture can be written into {where}; name another folder with --screenshots"
        ) from error


def _on_qt_message(_kind: object, _where: object, text: str | None) -> None:
    """Show what Qt warns of, but for what a platform without a screen says at every step."""
    if text and not text.startswith("This plugin does not support "):
        sys.stderr.write(f"{text}\n")


def _stop_runs(studio: Studio) -> None:
    """A tour that stopped half-way leaves no worker behind."""
    if studio.context is None:
        return
    jobs, until = studio.context.jobs, time.monotonic() + CANCEL_SECONDS
    for run in jobs.runs():
        if run.can_cancel:
            jobs.cancel(run.id)
    while any(run.state.holds_device for run in jobs.runs()) and time.monotonic() < until:
        time.sleep(0.1)


def _walk(visit: Visit, plan: Plan | None) -> int:
    from PySide6.QtCore import qInstallMessageHandler

    from studio.app import Studio, application
    from studio.tour.guide import Guide, TourCancelled
    from studio.tour.journey import Journey
    from studio.tour.long import LongJourney

    qInstallMessageHandler(_on_qt_message)
    app = application(sys.argv[:1])
    settings = Settings.load()
    settings.update(annotator_name="Visitor", theme=Theme.LIGHT)
    studio = Studio(app, settings)
    studio.open(visit.workspace, create=True)
    assert studio.window is not None
    assert studio.context is not None
    studio.window.resize(1360, 860)
    guide = Guide(studio.window, visit.pictures.absolute(), visit.stop)
    studio.context.broke.connect(lambda error: guide.say(f"    error shown: {error}"))
    try:
        if plan is None:
            Journey(guide, studio, visit.scratch).walk()
        else:
            LongJourney(guide, studio, visit.scratch, plan).walk()
    except TourCancelled:
        guide.say("Cancelled; what has been made until now is in the workspace")
        return CANCELLED
    except SteplensError as error:
        guide.say(f"The tour stopped: {error}")
        return 1
    finally:
        _stop_runs(studio)
        studio.close()
    guide.say(f"The tour took {guide.seconds:.0f} s; its pictures are in {visit.pictures}")
    return 0
