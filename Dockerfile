# One image: `phasegate api` (the default), `phasegate worker`, or all in one container with `phasegate serve`.
# Layers from what changes seldom to what changes often: a change of code rebuilds the last one only, without a network.

ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip
# hadolint ignore=DL3008 # any strip will do, and a version that Debian has replaced can no longer be installed
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils >/dev/null \
 && rm -rf /var/lib/apt/lists/* && python -m venv --without-pip /opt/phasegate
COPY requirements.lock /tmp/
# Test suites, headers, type stubs and debug symbols are of no use at run time; bytecode is kept of what is imported.
# hadolint ignore=DL3042 # the cache is a mount of the build, in no layer
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/phasegate/bin/python install --no-compile --only-binary :all: --require-hashes \
      -r /tmp/requirements.lock \
 && find /opt/phasegate/lib -depth -type d \( -name tests -o -name include \) -exec rm -rf {} + \
 && find /opt/phasegate/lib -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx*' -o -name '*.h' -o -name '*.a' \) -delete \
 && find /opt/phasegate/lib -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
 && /opt/phasegate/bin/python -c "import arro3.core, arro3.io, fastapi_offline, http_sf, httptools, httpx2, limits.strategies, obstore.store, python_multipart, pydantic_settings, redis.asyncio, \
      rich.console, rich.table, rq.worker, safetensors, scipy.linalg, scipy.special, scipy.stats, sklearn.linear_model, structlog, \
      threadpoolctl, typer, uvicorn.lifespan.on, uvicorn.protocols.http.httptools_impl, uvloop, yaml"

FROM requirements AS package
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY phasegate phasegate
RUN --network=none \
    pip --python /opt/phasegate/bin/python wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Phasegate" \
      org.opencontainers.image.description="Pre-training triage for multimodal data: align, predict, or neither?" \
      org.opencontainers.image.licenses="MIT"
# Numbers, not names: an orchestrator can see that it is not root. A fresh volume on /data takes its owner from here.
RUN groupadd --gid 10001 phasegate \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin phasegate \
 && install -d -o 10001 -g 10001 -m 0700 /data
WORKDIR /data
COPY --from=requirements /opt/phasegate /opt/phasegate
RUN --network=none --mount=type=bind,from=package,source=/dist,target=/dist \
    pip --python /opt/phasegate/bin/python --no-cache-dir --disable-pip-version-check \
      install --root-user-action ignore --no-deps --no-index /dist/*.whl
ENV PATH=/opt/phasegate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PHASEGATE_HOST=0.0.0.0 \
    PHASEGATE_REQUIRE_KEYS=true \
    PHASEGATE_DATA_DIR=/data
VOLUME /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=15s --start-period=60s --start-interval=2s --retries=3 \
    CMD ["phasegate", "healthy", "api"]
ENTRYPOINT ["phasegate"]
CMD ["api"]
