"""A worker that strikes itself: `python -m tests.proofs.struck_worker RUN_DIR BLOW AT`.

The blow falls at a place in the work, so that it neither comes too late on a busy machine nor misses what it is meant
for; where exactly, the caller draws.

step: SIGKILL a moment after training step AT has been told.
checkpoint: SIGKILL while the first checkpoint of step AT or beyond is being written, half of its files there.
rollouts: SIGKILL while the traces of update AT or beyond are being written, some of their tokens drawn.
draws: SIGKILL while a decoder writes the AT-th batch of traces of this attempt, some of their tokens drawn.
records: SIGKILL once records.jsonl has more than AT bytes.
control, SIGTERM: a pause asked for, in either way, at training step AT.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.__main__ import main, set_environment
from trainer.contract.run_folder import Control, RunFolder
from trainer.runtime.worker import Worker

if TYPE_CHECKING:
    from trainer.models.generate import Generated
    from trainer.rl.author import Rollout

MOMENT = 0.02  # seconds; some random point between two steps


def die() -> None:
    """End without a last word."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(folder: RunFolder, blow: str, at: int) -> None:
    """Strike when a training step has been told."""
    metrics = Worker.metrics

    def struck(self: Worker, split: str, values: object) -> None:
        metrics(self, split, values)
        if str(split) != "train" or self.step < at:
            return
        if blow == "control":
            folder.ask(Control.PAUSE)
        elif blow == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            threading.Thread(target=lambda: (time.sleep(MOMENT), die()), daemon=True).start()

    Worker.metrics = struck


def in_checkpoint(at: int) -> None:
    """Strike when the first checksum of a checkpoint under way has been taken."""
    from trainer.runtime import checkpoint

    checksum = checkpoint.sha256_of

    def struck(path: Path) -> str:
        found = checksum(path)
        if path.parent.name.startswith(".step-") and int(path.parent.name.split(".")[1].removeprefix("step-")) >= at:
            die()
        return found

    checkpoint.sha256_of = struck


def in_rollouts(at: int) -> None:
    """Strike when the decoder of an RL run looks up for the third time."""
    from trainer.rl.author import Author

    write = Author.write

    def struck(self: Author, update: int, check: Callable[[], None]) -> list[Rollout]:
        looks = 0

        def dying() -> None:
            nonlocal looks
            looks += 1
            check()
            if update >= at and looks >= 3:
                die()

        return write(self, update, dying)

    Author.write = struck


def in_draws(at: int) -> None:
    """Strike when a decoder looks up for the second time in its AT-th batch."""
    from trainer.models.generate import Decoder

    generate = Decoder.generate
    batches = 0

    def struck(self: Decoder, *given: Any, check: Callable[[], None], **named: Any) -> list[list[Generated]]:
        nonlocal batches
        batches += 1
        looks = 0

        def dying() -> None:
            nonlocal looks
            looks += 1
            check()
            if batches >= at and looks >= 2:
                die()

        return generate(self, *given, check=dying, **named)

    Decoder.generate = struck


def in_records(folder: RunFolder, at: int) -> None:
    """Strike when the file of records has grown."""
    record = Worker.record

    def struck(self: Worker, made: object) -> None:
        record(self, made)
        if folder.records.stat().st_size > at:
            die()

    Worker.record = struck


def strike(folder: RunFolder, blow: str, at: int) -> None:
    """Make the blow fall in this process."""
    if blow == "checkpoint":
        in_checkpoint(at)
    elif blow == "rollouts":
        in_rollouts(at)
    elif blow == "draws":
        in_draws(at)
    elif blow == "records":
        in_records(folder, at)
    else:
        at_step(folder, blow, at)


if __name__ == "__main__":
    path = sys.argv[1]
    run = RunFolder(Path(path))
    set_environment(run.read_spec())
    strike(run, sys.argv[2], int(sys.argv[3]))
    code = main([path])
    sys.stdout.flush()
    os._exit(code)
