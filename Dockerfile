# One image for every service: docker build -t notification-pipeline . ; docker run notification-pipeline worker --channel push
#
# PYTHON_IMAGE takes tag and digest (python:3.11-slim-trixie@sha256:…). A release pins the digest and moves it by a
# change that tests ran on; the tag alone, as here, is for a laptop. `docker buildx imagetools inspect` tells the digest.
ARG PYTHON_IMAGE=python:3.11-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /venv && python -m venv /build
COPY deploy/image/runtime.lock deploy/image/build.lock ./
# Wheels but for http-ece, which is pure Python and has none: there is no compiler in any stage.
RUN /venv/bin/pip install --require-hashes --only-binary :all: --no-binary http-ece --requirement runtime.lock \
 && /build/bin/pip install --require-hashes --only-binary :all: --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY avro avro
COPY topics topics
COPY examples examples
COPY pipeline pipeline
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /venv/bin/pip install --no-deps /dist/*.whl \
 && /venv/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 pipeline && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin pipeline
COPY --from=build /venv /venv
COPY examples /app/examples
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    PIPELINE_HTTP__HOST=0.0.0.0 PIPELINE_HTTP__PORT=9090
WORKDIR /app
USER 10001:10001
EXPOSE 8080 9090
# No HEALTHCHECK: an orchestrator asks /healthz and /readyz, and `pipeline migrate` has neither.
ENTRYPOINT ["pipeline"]
CMD ["--help"]
