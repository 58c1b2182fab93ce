# Prefect's server, MLflow and the labelers' page, without torch. From the root of the repository:
#   docker build -f deployments/team/images/server.Dockerfile -t rein-server:0.1.0 .
FROM python:3.11.15-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=/build/constraints.txt
RUN python -m venv /opt/rein
COPY constraints.txt pyproject.toml README.md LICENSE deployments/team/images/server.txt /build/
RUN /opt/rein/bin/pip install -r /build/server.txt && /opt/rein/bin/pip install --no-deps /build

FROM python:3.11.15-slim-trixie
RUN useradd --uid 1000 --create-home rein
COPY --from=build /opt/rein /opt/rein
COPY cli /app/cli
COPY flows /app/flows
COPY tasks /app/tasks
COPY models /app/models
COPY labeling /app/labeling
COPY deployments /app/deployments
ENV PATH=/opt/rein/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet
WORKDIR /app
USER 1000:1000
