# syntax=docker/dockerfile:1
# Two stages: what builds stays behind. The final image has Python, the locked packages and the detector; no pip, no compiler.

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python -m venv /opt/detector
COPY requirements.lock ./
# Wheels only: a package without one would need a compiler.
RUN /opt/detector/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY detector ./detector
RUN /opt/detector/bin/pip install --no-deps --no-build-isolation . \
 && /opt/detector/bin/pip uninstall --yes hatchling editables pip \
 && /opt/detector/bin/python -m compileall -q /opt/detector/lib
# What numba compiles too, and for any processor: nothing can be written where it runs.
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_LOCATOR_CLASSES=detector.likeness.compiled.Shipped
RUN cd / && /opt/detector/bin/python -m detector.runtime.compiling

FROM python:3.13-slim-bookworm
RUN python -m pip uninstall --yes pip \
 && groupadd --gid 10001 detector \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin detector
COPY --from=build /opt/detector /opt/detector
COPY deploy/detector.toml /etc/detector/detector.toml
ENV PATH=/opt/detector/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_LOCATOR_CLASSES=detector.likeness.compiled.Shipped
USER 10001:10001
WORKDIR /tmp
EXPOSE 6066
STOPSIGNAL SIGTERM
ENTRYPOINT ["detector"]
CMD ["run", "--config", "/etc/detector/detector.toml"]
