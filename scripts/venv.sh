#!/bin/sh
# Make an empty virtual environment at $1 with a supported Python: $PYTHON if that is set, else the first one found.
set -eu
venv=$1

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.13 python3.12 python3.11
fi

python=
for candidate in "$@"; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "wanvideo needs Python 3.11, 3.12 or 3.13; $1 is $("$1" --version 2>/dev/null || echo missing)." >&2
    echo "Install one of them, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

# Debian and Ubuntu keep what a virtual environment starts from in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$python cannot make virtual environments. On Debian or Ubuntu: sudo apt-get install $package" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"
fi

exec "$python" -m venv --clear "$venv"
