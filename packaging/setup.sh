#!/bin/sh
# Make .venv and install into it.  setup.sh PYTHON base|test
# What the system lacks is installed where that is allowed (root, or sudo without a password), else the exact command is printed.
set -eu
cd "$(dirname "$0")/.."
python=${1:-}
profile=${2:-base}

say() { printf '%s\n' "$*" >&2; }

# as_root COMMAND...: run it where allowed; otherwise say what to type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "Missing system packages: $*. Install what your system calls them, then try again."
        return 1
    fi
    say "Installing system packages: $*"
    if as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh "$@"; then
        return 0
    fi
    say "System packages are missing and cannot be installed by this user. Type:"
    say "    sudo apt-get install -y $*"
    return 1
}

if [ -z "$python" ]; then
    install_packages python3 python3-venv || exit 1
    python=$(command -v python3)
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "Steplens needs Python 3.11 or newer; $python is $("$python" -V 2>&1)."
        exit 1
    }
fi

# A virtual environment that works: made by this user, from a Python that is still there.
if ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages "python$version-venv" || exit 1
    say "Making .venv with Python $version"
    "$python" -m venv .venv
fi

case $profile in
    base) target=. ;;
    test) target='.[train,dev]' ;;
    *) say "setup.sh: profile base or test, not $profile"; exit 2 ;;
esac

wanted=$(cat pyproject.toml packaging/constraints.txt packaging/setup.sh | cksum)
stamp=.venv/steplens-$profile
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] && { [ "$profile" = test ] || [ "$(cat .venv/steplens-test 2>/dev/null || true)" != "$wanted" ]; }; then
    say "Installing $profile packages (a minute or two the first time)"
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -q -c packaging/constraints.txt -e "$target" 2>.venv/pip.log || {
        tail -n 20 .venv/pip.log >&2
        say "pip could not install the packages; see the lines above. Is the network there?"
        exit 1
    }
    printf '%s\n' "$wanted" >"$stamp"
fi

# Libraries that Qt loads; the list of missing ones is worked out by asking the loader.
missing=$(.venv/bin/python packaging/system_libraries.py) || exit 1
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing || exit 1
    left=$(.venv/bin/python packaging/system_libraries.py)
    [ -z "$left" ] || { say "Still missing after the installation: $left"; exit 1; }
fi
