"""One process of several that were launched together, for several runs one after the other.

`python -m tests.trainer.ranks RUN_DIR...`, started by `accelerate launch`: the libraries are loaded once, and each run
is forked off as a worker of its own, which meets the others as in an attempt of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from torch.distributed import PrefixStore

from trainer.__main__ import main
from trainer.recipes import orm, prm, rl, sft  # noqa: F401 - loaded once, for all


def meet_at(place: str) -> None:
    """Keep what the processes tell each other in this run apart from what they did in another: one store serves all."""
    rendezvous = importlib.import_module("torch.distributed.rendezvous")  # a function of the package has its name
    store_of = rendezvous._create_c10d_store
    rendezvous._create_c10d_store = lambda *given, **named: PrefixStore(place, store_of(*given, **named))


def attempt(run: str) -> int:
    """A run in a process of its own; returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            meet_at(run)
            code = main([run])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    for path in sys.argv[1:]:
        code = attempt(path)
        if code != 0:
            sys.exit(f"{path}: exit code {code}")
