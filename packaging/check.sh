#!/bin/sh
# Everything that must hold, in the order of how fast it says no.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
export QT_QPA_PLATFORM="${QT_QPA_PLATFORM:-offscreen}"
"$bin/ruff" check --no-cache .
"$bin/ruff" format --no-cache --check .
"$bin/mypy"
"$bin/lint-imports"
# Two tests at a time, each in a process of its own: nothing is shared but what a test keeps in its own folder.
exec "$bin/python" -m pytest --numprocesses "${STEPLENS_TEST_PROCESSES:-2}" --dist worksteal --durations=15 "$@"
