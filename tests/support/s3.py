"""A real S3-compatible server for tests: moto's, over HTTP, in a thread."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

_KEYS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class S3:
    """A server and the environment that a worker needs for it."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.env = {**_KEYS, "AWS_ENDPOINT_URL": self.endpoint}

    def client(self, service: str = "s3") -> Any:  # noqa: ANN401 - boto3 makes it at run time
        """A client of its own, to look at what others wrote."""
        import boto3  # here, because it takes long, and not every test of a folder needs it
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=_KEYS["AWS_DEFAULT_REGION"],
            config=Config(retries={"max_attempts": 1}),
        )

    def create_user(self) -> dict[str, str]:
        """Credentials of somebody who may use all buckets, as environment variables."""
        iam = self.client("iam")
        iam.create_user(UserName="worker")
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="worker", PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName="worker")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Until the end of the block, only credentials of users are taken."""
        self.post("moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self.post("moto-api/reset-auth", b"inf")

    def post(self, path: str, data: bytes = b"") -> None:
        """Tell the server itself something."""
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.endpoint}/{path}", data=data, headers=headers, method="POST")
        urllib.request.urlopen(request).close()

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        self.client().create_bucket(Bucket=name)

    def keys(self, bucket: str) -> dict[str, int]:
        """Everything in a bucket, with its size."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}


class _Refusing(BaseHTTPRequestHandler):
    """Passes a request on, unless it has a checksum as SDKs add them since 2025: what older stores do."""

    protocol_version = "HTTP/1.1"
    endpoint = ""
    refused: ClassVar[list[str]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        names = [name.lower() for name in self.headers]
        unknown = [name for name in names if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]
        if unknown or "x-amz-trailer" in names or "transfer-encoding" in names:
            self.refused.append(self.command)
            self.reply(403, Message(), _MISMATCH)
            return
        server = http.client.HTTPConnection(self.endpoint.removeprefix("http://"))
        with closing(server):
            server.request(self.command, self.path, body or None, dict(self.headers))
            response = server.getresponse()
            self.reply(response.status, response.headers, response.read())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

    def reply(self, code: int, headers: Message, body: bytes) -> None:
        self.send_response_only(code)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_MISMATCH = b"""<?xml version="1.0" encoding="UTF-8"?><Error><Code>SignatureDoesNotMatch</Code>
<Message>The request signature we calculated does not match</Message></Error>"""


@contextmanager
def refusing_checksums(s3: S3) -> Iterator[list[str]]:
    """A store in front of another that refuses checksums, in this process's environment; the methods it refused."""

    class Handler(_Refusing):
        endpoint = s3.endpoint
        refused: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with environment({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}):
                yield Handler.refused
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """This process's environment, with `values`, until the end of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def running_s3() -> Iterator[S3]:
    """A started server; its environment is in `env`, not set."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        yield S3(port)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One server for all tests: starting and stopping takes a second."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3) -> Iterator[S3]:
    """A server without buckets, and this process's environment such that fsspec finds it."""
    import fsspec

    s3_server.post("moto-api/reset")  # moto keeps its buckets beyond the server's life, too
    with environment(s3_server.env):
        yield s3_server
        fsspec.get_filesystem_class("s3").clear_instance_cache()
