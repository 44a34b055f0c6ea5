#!/usr/bin/env bash
# Makes .venv exactly what deploy/locks/dev.txt says and installs this project into it, editable. Run it by `make venv`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "venv: $*"; }
die() {
    echo "venv: $*" >&2
    exit 1
}

find_python() { # prints the first Python that really starts and is new enough
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

need_venv_module() { # Debian keeps it in a package of its own
    "$1" -c 'import venv, ensurepip' 2>/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing the Debian package python3-venv (this Python has no venv module) …"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null </dev/null
    else
        die "$1 has no venv module. Install it (Debian: apt-get install python3-venv) and run make again."
    fi
}

# uv does not read pip's settings; carry over the ones that decide whether a download works at all.
[ -n "${PIP_INDEX_URL:-}" ] && export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -n "${PIP_CERT:-}" ] && export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}" UV_LINK_MODE="${UV_LINK_MODE:-copy}" UV_PYTHON_DOWNLOADS=never

if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(find_python) || die "no Python 3.11 or newer found. Install one (Debian 12: apt-get install python3) and run make again."
    need_venv_module "$python"
    say "creating .venv with $("$python" --version) …"
    rm -rf .venv
    "$python" -m venv .venv
fi

if ! .venv/bin/uv --version 2>/dev/null | grep -qF "$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' deploy/locks/uv.txt)"; then
    say "installing uv, which installs the rest …"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/locks/uv.txt
fi

say "installing $(grep -c '==' deploy/locks/dev.txt) locked packages (about 1 GB on disk; a minute or two the first time) …"
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes deploy/locks/dev.txt deploy/locks/uv.txt
say "installing this project, editable …"
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
say "ready. Use .venv/bin/mlops-bot, or see: make help"
