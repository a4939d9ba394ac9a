# The gallery, the site for people. Build from the repository's root: docker build -f deploy/gallery.Dockerfile .
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /src
RUN python3 -m venv --without-pip /opt/unikat
# Every file that is installed has a hash in requirements/, what builds the image included. The dependencies are a layer
# of their own, so that a change of code does not install them again.
COPY requirements requirements
RUN python3 -m pip install --require-hashes -r requirements/build.txt \
    && python3 -m pip --python /opt/unikat install --require-hashes -r requirements/gallery.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY unikat unikat
COPY gallery gallery
RUN python3 -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /dist . \
    && python3 -m pip --python /opt/unikat install --no-deps --no-index /dist/*.whl
# What is in the image, for scanners: CycloneDX, in /opt/unikat/sbom.cdx.json.
RUN python3 -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
    --output-file /opt/unikat/sbom.cdx.json /opt/unikat/bin/python

FROM ${BASE}
RUN groupadd --gid 10001 unikat && useradd --uid 10001 --gid unikat --no-create-home --home-dir /tmp unikat
RUN install -d -o unikat -g unikat /gallery
ENV PATH=/opt/unikat/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/unikat /opt/unikat
COPY deploy/healthcheck.py /opt/unikat/healthcheck.py
USER 10001:10001
WORKDIR /opt/unikat
EXPOSE 8080
CMD ["python", "-m", "unikat_gallery"]
