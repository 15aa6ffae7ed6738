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
exec "$bin/python" -m pytest --durations=15 "$@"
