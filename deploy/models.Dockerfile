# The models as an image, for workers on Kubernetes: its base is theirs, so that a node fetches the models alone.
# Build from the repository's root: docker build -f deploy/models.Dockerfile .
FROM docker.io/library/python:3.12-slim-bookworm
COPY models /models
USER 10001:10001
CMD ["cp", "-r", "/models/.", "/out"]
