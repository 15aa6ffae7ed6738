"""The child of the sandbox: puts up the walls around itself, says so, and runs a program. Standard library only.

What it says goes to a pipe of its own: `up`, then the word it was given once the program has run to its end. A program
that ends the process before its last line has not run to its end, whatever its exit status.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

from trainer.suites import syscalls, walls

PROGRAM = "program.py"
NO_WALLS = 97  # exit status: a wall could not be put up, and nothing was run


def main(said: str) -> None:
    """Run what the argument asks for: JSON with folder, root, walls, limits and the pipe to speak to."""
    asked = json.loads(said)
    del sys.path[0]  # where this module came from
    source = Path(asked["folder"], PROGRAM).read_text("utf-8")
    try:
        _wall_in(asked)
    except OSError as error:
        os.write(asked["pipe"], f"no: {error.strerror or error}".encode())
        os._exit(NO_WALLS)
    os.write(asked["pipe"], b"up ")
    if asked["probe"]:
        os._exit(0)
    word, pipe = asked.pop("word").encode(), asked["pipe"]
    _run(source)
    sys.stdout.flush()
    os.write(pipe, word)
    os._exit(0)


def _wall_in(asked: dict[str, Any]) -> None:
    folder = Path(asked["folder"])
    if "namespaces" in asked["walls"]:
        walls.hide_by_namespaces(folder, Path(asked["root"]))
    os.chdir(folder)
    walls.give_up_privileges()
    if "landlock" in asked["walls"]:
        walls.hide_by_landlock(folder)
    walls.limit(asked["seconds"], asked["memory"], asked["file"])
    syscalls.install(os.getpid())


def _run(source: str) -> None:
    """As a main program; ends the process with 1 after an exception, with its own status after `exit`."""
    program = type(sys)("__main__")
    sys.modules["__main__"] = program
    sys.argv[:] = [PROGRAM]
    try:
        code: CodeType = compile(source, PROGRAM, "exec", dont_inherit=True)
        exec(code, program.__dict__)  # the purpose of this process
    except SystemExit as stop:
        sys.stdout.flush()
        ended = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        os._exit(ended & 255)
    except BaseException:
        sys.stdout.flush()
        sys.stderr.write(traceback.format_exc(limit=-4))
        sys.stderr.flush()
        os._exit(1)
