# The bot as an image: no compiler, no pip and no package manager's cache inside, started as nobody in particular.
#
#     docker build -t mlops-bot .                          the serving bot
#     docker build -t mlops-bot:drift --target drift .     the same, with Evidently in an environment of its own
#
# Behind a proxy or with an index of your own, pip's settings come as build secrets, which no layer keeps:
#
#     docker build --secret id=pip-conf,src=/etc/pip.conf --secret id=ca-bundle,src=ca.crt …
#     (in pip.conf: `cert = /run/secrets/ca-bundle`)
#
# Needs BuildKit, which is the default since Docker 23 (before: DOCKER_BUILDKIT=1).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# pip brings uv and what builds the wheel, from the locks; of the large one only these lines, it is a gigabyte.
FROM base AS tools
COPY deploy/locks/uv.txt deploy/locks/dev.txt ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf --mount=type=secret,id=ca-bundle \
    awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' dev.txt > build.txt \
    && python3 -m venv /tools \
    && /tools/bin/pip install --quiet --no-cache-dir --only-binary :all: --require-hashes -r uv.txt -r build.txt
COPY deploy/install.sh /tools/install.sh

FROM tools AS wheel
COPY pyproject.toml README.md ./
COPY deploy/wheel_data.py deploy/
COPY templates templates
COPY runbooks runbooks
COPY playground playground
COPY handlers handlers
COPY bot bot
RUN /tools/bin/hatchling build -t wheel -d /wheel

# What serving needs, by hash; then the project itself. The environment has no pip of its own.
FROM tools AS packages
COPY deploy/locks/serve.txt ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf --mount=type=secret,id=ca-bundle \
    /tools/install.sh /opt/venv serve.txt
COPY --from=wheel /wheel /wheel
RUN /tools/bin/uv pip install --quiet --offline --no-cache --no-deps --compile-bytecode --python /opt/venv/bin/python /wheel/*.whl

FROM tools AS drift-packages
COPY deploy/locks/drift.txt ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf --mount=type=secret,id=ca-bundle \
    /tools/install.sh /opt/drift drift.txt
COPY --from=wheel /wheel /wheel
RUN /tools/bin/uv pip install --quiet --offline --no-cache --no-deps --compile-bytecode --python /opt/drift/bin/python /wheel/*.whl

FROM ${BASE} AS serve
# The number stands in the manifests too (runAsUser): Kubernetes cannot tell from a name that it is not root.
RUN groupadd --system --gid 10001 mlops \
    && useradd --system --uid 10001 --gid mlops --home-dir /var/lib/mlops-bot --no-create-home \
        --shell /usr/sbin/nologin mlops \
    && install -d -o mlops -g mlops -m 0750 /var/lib/mlops-bot \
    && install -d -m 0755 /etc/mlops-bot
COPY --from=packages /opt/venv /opt/venv
# Only /var/lib/mlops-bot and /tmp are written to, so that the root file system may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    MLOPS_CONFIG=/etc/mlops-bot/mlops.yaml
USER 10001:10001
WORKDIR /var/lib/mlops-bot
VOLUME /var/lib/mlops-bot
EXPOSE 8080
# /healthz answers 503 when the ticker is old; urlopen raises on that, and the exit code is 1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mlops-bot"]
CMD ["serve"]

# Evidently and pandas, 1 GB, in an environment beside the serving one: /opt/drift/bin/python.
FROM serve AS drift
COPY --from=drift-packages /opt/drift /opt/drift

# Last, so that a build without --target makes the small one.
FROM serve
