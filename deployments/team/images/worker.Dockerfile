# A Prefect worker that trains. torch comes with the CUDA libraries that it needs; the machine brings the driver and the NVIDIA
# Container Toolkit. From the root of the repository:
#   docker build -f deployments/team/images/worker.Dockerfile -t rein-worker:0.1.0-cuda .
# Without CUDA, and gigabytes smaller:
#   docker build -f deployments/team/images/worker.Dockerfile -t rein-worker:0.1.0-cpu \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
FROM python:3.11.15-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=/build/constraints.txt
RUN python -m venv /opt/rein
COPY constraints.txt /build/
ARG TORCH_INDEX=https://pypi.org/simple
RUN /opt/rein/bin/pip install --extra-index-url ${TORCH_INDEX} torch
COPY pyproject.toml README.md LICENSE /build/
RUN /opt/rein/bin/pip install "/build[postgres,s3]"

FROM python:3.11.15-slim-trixie
RUN useradd --uid 1000 --create-home rein && install --directory --owner=rein --group=rein /data
COPY --from=build /opt/rein /opt/rein
COPY cli /app/cli
COPY flows /app/flows
COPY tasks /app/tasks
COPY models /app/models
COPY labeling /app/labeling
COPY deployments /app/deployments
COPY prefect.yaml /app/
ENV PATH=/opt/rein/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet
WORKDIR /app
USER 1000:1000
