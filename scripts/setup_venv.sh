#!/usr/bin/env bash
# Makes .venv at the root and installs requirements.txt into it; does nothing where that is already done.
# PYTHON names the interpreter to make it with (python3); 3.10 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/requirements.sha256 # written last: what is installed completely
log=$venv/install.log
base=${PYTHON:-python3}

die() {
    echo "error: $*" >&2
    exit 2
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

wanted() {
    "$venv/bin/python" -c 'import hashlib; print(hashlib.sha256(open("requirements.txt", "rb").read()).hexdigest())'
}

install() {
    "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --require-hashes -r requirements.txt >"$log" 2>&1 &
    local pip=$!
    trap 'kill "$pip" 2>/dev/null; exit 130' INT TERM
    while [[ -t 1 ]] && kill -0 "$pip" 2>/dev/null; do
        printf '\rinstalling requirements.txt into %s (about 5.5 GB): %d s ' "$venv" $((SECONDS - started))
        sleep 1
    done
    wait "$pip"
}

if is_new_enough "$venv/bin/python" && [[ -f $stamp && $(<"$stamp") == "$(wanted)" ]]; then
    exit 0
fi

if ! is_new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    command -v "$base" >/dev/null || die "$base not found: install Python 3.10 or newer"
    is_new_enough "$base" ||
        die "$base is $("$base" --version 2>&1); Python 3.10 or newer is needed, name it with PYTHON=/path/to/python3"
    "$base" -m venv --clear "$venv" >/dev/null ||
        die "$base cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
fi

started=$SECONDS
[[ -t 1 ]] || echo "installing requirements.txt into $venv (about 5.5 GB, a minute or more)"
if ! install; then
    echo "installing failed, trying once more (see $log)"
    install || {
        tail -n 5 "$log" >&2
        die "cannot install requirements.txt, the whole output is in $log"
    }
fi
wanted >"$stamp"
[[ -t 1 ]] && printf '\r\033[2K'
echo "installed requirements.txt into $venv in $((SECONDS - started)) s"
