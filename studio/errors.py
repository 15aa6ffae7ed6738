"""The exception tree.

SteplensError                 what went wrong, where, and what to do
├── WorkspaceError            the folder cannot be opened or made
├── StoreError                the database refused
│   ├── VersionError          the database is newer than this program, or cannot be migrated
│   ├── NotFoundError         no such project, trace, annotation, run
│   ├── ConflictError         somebody else's work, or the present state, forbids it
│   └── FindError             what was looked for cannot be looked for
│       └── TooSlowError      an expression takes too long on one text
├── ImportFormatError         a row of a foreign file; carries file and line
├── CancelledError            a person cancelled
├── KeyringError              a key cannot be kept, read or forgotten
└── RunError                  a run cannot be made, started or resumed
"""

from __future__ import annotations

from pathlib import Path


class SteplensError(Exception):
    """Base: the message says what, where and what to do."""


class WorkspaceError(SteplensError):
    """The workspace folder cannot be opened or made."""


class StoreError(SteplensError):
    """The database refused."""


class VersionError(StoreError):
    """The database is newer than this program, or cannot be migrated."""


class NotFoundError(StoreError):
    """No such thing in the database."""


class ConflictError(StoreError):
    """Somebody else's work, or the present state, forbids it."""


class FindError(StoreError):
    """What a person looks for is no pattern, or costs too much."""


class TooSlowError(FindError):
    """An expression takes too long on one text; on others it may do."""


class ImportFormatError(SteplensError):
    """A row of a foreign file that cannot be read."""

    def __init__(self, path: Path | str, line: int, problem: str, remedy: str = "") -> None:
        super().__init__(f"{path}:{line}: {problem}" + (f"; {remedy}" if remedy else ""))
        self.path, self.line, self.problem, self.remedy = str(path), line, problem, remedy


class CancelledError(SteplensError):
    """A person cancelled; nothing half-done is left."""


class KeyringError(SteplensError):
    """The system's keyring refused, or a name is none."""


class RunError(SteplensError):
    """A run cannot be made, started or resumed."""
