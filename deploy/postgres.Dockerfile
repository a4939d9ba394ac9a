# PostgreSQL with a data folder of its own user's, so that it never runs as root, not even to start.
FROM docker.io/library/postgres:17-bookworm
RUN mkdir /var/lib/unikat && chown 999:999 /var/lib/unikat
USER 999:999
WORKDIR /var/lib/unikat
