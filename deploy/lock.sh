#!/usr/bin/env bash
# Writes deploy/locks/*.txt anew from pyproject.toml. Run it by `make lock`.
# First everything is resolved together, so that the three sets agree on each version they share and a person may
# install any two of them into one environment; then each set is written with the hash of every file.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
all=$(mktemp)
trap 'rm -f "$all"' EXIT

lock() { # lock <output> <options…>
    local output=$1
    shift
    echo "Locking $output …"
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
        --upgrade --output-file "$output" "$@"
}

lock "$all" pyproject.toml --all-extras
lock deploy/locks/serve.txt pyproject.toml --generate-hashes --constraint "$all" --extra postgres
lock deploy/locks/dev.txt pyproject.toml --generate-hashes --constraint "$all" --extra postgres --extra demo --extra drift-screen --extra drift --extra dev
lock deploy/locks/drift.txt pyproject.toml --generate-hashes --constraint "$all" --extra drift --extra drift-screen
echo "uv==$("$uv" --version | cut -d' ' -f2)" | lock deploy/locks/uv.txt - --generate-hashes
