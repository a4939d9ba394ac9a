# The gRPC front. Build from the repository's root: docker build -f deploy/service.Dockerfile .
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv --without-pip /opt/unikat
# The dependencies are a layer of their own, so that a change of code does not install them again.
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY requirements requirements
RUN mkdir -p unikat service/unikat_service \
    && python3 -m pip --python /opt/unikat install -c requirements/constraints.txt '.[service]' \
    && python3 -m pip --python /opt/unikat uninstall --yes unikat
COPY unikat unikat
COPY service service
RUN python3 -m pip --python /opt/unikat install --no-deps .

FROM ${BASE}
RUN groupadd --gid 10001 unikat && useradd --uid 10001 --gid unikat --no-create-home --home-dir /tmp unikat
ENV PATH=/opt/unikat/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/unikat /opt/unikat
COPY deploy/healthcheck.py /opt/unikat/healthcheck.py
USER 10001:10001
WORKDIR /opt/unikat
EXPOSE 50051
CMD ["python", "-m", "unikat_service"]
