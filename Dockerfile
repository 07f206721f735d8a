# Helios Agent without CUDA. Build and run it with: docker compose up --build --detach
# What the settings mean and how to run it by hand: docs/how-to/install.md.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
# Where pip finds torch without CUDA; the default index would bring gigabytes of it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Optional parts of Helios, separated by commas: cluster brings Ray, parquet brings pyarrow.
ARG EXTRAS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/helios
WORKDIR /build
# torch first: it is the largest part and changes the least.
COPY constraints.txt ./
RUN /opt/helios/bin/pip install --extra-index-url ${TORCH_INDEX} -c constraints.txt torch
COPY pyproject.toml README.md ./
COPY helios_agent ./helios_agent
RUN /opt/helios/bin/pip install -c constraints.txt ".${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 10001 helios \
 && useradd --uid 10001 --gid 10001 --home-dir /state --no-create-home --shell /usr/sbin/nologin helios \
 && install -d -m 0700 -o helios -g helios /state /models
COPY --from=build /opt/helios /opt/helios
COPY config/helios.yaml /etc/helios/helios.yaml
ENV PATH=/opt/helios/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HELIOS_PATHS__STATE=/state \
    HELIOS_PATHS__MODELS=/models
VOLUME ["/state", "/models"]
EXPOSE 8080
USER 10001:10001
WORKDIR /state
STOPSIGNAL SIGTERM
# Asks for readiness. Before it is ready the daemon verifies the whole journal.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 \
  CMD ["helios", "health", "--config", "/etc/helios/helios.yaml"]
# By itself it listens to the container alone. To be reached from outside it needs a token: see compose.yaml.
ENTRYPOINT ["helios"]
CMD ["run", "--config", "/etc/helios/helios.yaml"]
