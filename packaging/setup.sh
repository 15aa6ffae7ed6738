#!/bin/sh
# Make .venv and install into it.  setup.sh PYTHON base|test
# What the system lacks is installed where that is allowed (root, or sudo without a password), else the exact command is
# printed: all of it at once.
set -eu
cd "$(dirname "$0")/.."
python=${1:-}
profile=${2:-base}
case $profile in
    base) target=. ;;
    test) target='.[train,dev]' ;;
    *) printf '%s\n' "setup.sh: profile base or test, not $profile" >&2; exit 2 ;;
esac

say() { printf '%s\n' "$*" >&2; }

# as_root COMMAND...: run it where allowed; otherwise say no.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# install_packages PACKAGE...: with apt-get; says what to type where this user may not.
install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "Missing system packages, by their Debian names: $*"
        say "Install what your system calls them, then try again."
        return 1
    fi
    if ! as_root true; then
        say "System packages are missing, and this user may not install them. Type:"
        say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        say "(without sudo: the same two commands as root), then try again."
        return 1
    fi
    say "Installing system packages: $*"
    # shellcheck disable=SC2016
    as_root env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null' sh "$@" || {
        say "apt-get could not install them; see the lines above. Is the network there?"
        return 1
    }
}

# works: whether .venv is there, from a Python that is still there and new enough.
works() {
    .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# missing_packages: what is still needed before anything can be installed by pip, and before Qt can be loaded.
missing_packages() {
    if ! works; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    fi
    "$python" packaging/system_libraries.py
}

if [ -z "$python" ]; then
    install_packages python3 python3-venv || exit 1
    python=$(command -v python3)
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "Steplens needs Python 3.11 or newer; $python is $("$python" -V 2>&1)."
        exit 1
    }
fi

missing=$(missing_packages) || exit 1
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing || exit 1
    left=$(missing_packages) || exit 1
    [ -z "$left" ] || { say "Still missing after the installation:" $left; exit 1; }
fi

if ! works; then
    [ -w . ] || {
        say "Nothing can be written into $PWD, where .venv goes. Copy the checkout to a folder of your own and try there."
        exit 1
    }
    rm -rf .venv
    say "Making .venv with $("$python" -V 2>&1)"
    "$python" -m venv .venv
fi

# What was installed, by the files that say what: the test profile holds the base profile.
wanted=$(cat pyproject.toml packaging/constraints.txt packaging/setup.sh | cksum)
has() { [ "$(cat ".venv/steplens-$1" 2>/dev/null || true)" = "$wanted $PWD" ]; }
if ! has "$profile" && { [ "$profile" = test ] || ! has test; }; then
    say "Installing $profile packages (minutes the first time)"
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        .venv/bin/python -m pip install -q -c packaging/constraints.txt -e "$target" 2>.venv/pip.log || {
        tail -n 20 .venv/pip.log >&2
        say "pip could not install the packages; see the lines above. Are the network and the disk's space there?"
        exit 1
    }
    printf '%s\n' "$wanted $PWD" >".venv/steplens-$profile"
fi
