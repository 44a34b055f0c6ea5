#!/bin/sh
# install.sh ENVIRONMENT LOCK: makes a virtual environment without pip and fills it with exactly what the lock says.
# The Dockerfile runs it. uv does it, because pip 23 cannot install a lock in which a package asks for `pandas[parquet]`.
set -eu

# uv does not read pip's settings; carry over the ones that decide whether a download works at all.
if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi
if index=$(/tools/bin/pip config get global.index-url 2>/dev/null); then export UV_DEFAULT_INDEX="$index"; fi
export UV_HTTP_TIMEOUT=180 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never

python3 -m venv --without-pip "$1"
# Compiled now: a read-only image could not keep what it compiles, and every start would pay for it.
/tools/bin/uv pip install --quiet --no-cache --no-build --compile-bytecode --python "$1/bin/python" --require-hashes -r "$2"
