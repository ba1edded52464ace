# Two stages: the wheels are built where a build can fail, and installed where nothing is left of it.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY server server
COPY clients/python clients/python
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[server,opentelemetry]'

FROM python:3.11-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index /wheels/*.whl \
    && groupadd --gid 10001 runindex \
    && useradd --uid 10001 --gid runindex --no-create-home --shell /usr/sbin/nologin runindex \
    && install --directory --owner runindex --group runindex --mode 0700 /data

# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001

# A container's loopback is its own: to be reached at all, the server listens on every address of the container. It
# does not ask callers who they are, so it has to be told that this is meant. Publish the port to this machine alone
# (`--publish 127.0.0.1:50051:50051`), or to a network on which every caller may read and change every run.
ENV RUNINDEX_ADDRESS=0.0.0.0:50051 \
    RUNINDEX_DATA_DIR=/data
VOLUME /data
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["runindex-server", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["runindex-server"]
CMD ["serve", "--insecure-allow-remote"]
