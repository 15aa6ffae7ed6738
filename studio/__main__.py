"""`python -m studio` and the `steplens` command: a verb without a window, or the window."""

from __future__ import annotations

import sys

from studio import cli


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
