"""Whose a batch is: with client certificates, the certificate says, and nobody touches another's."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.service.batch_hand import BatchHand
from tests.service.calls import fields_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.valkey import running_valkey
from unikat.errors import InvalidRequest, NotFound, PermissionDenied, Reason
from unikat.v1.batches_pb2 import (
    Batch,
    CancelBatchRequest,
    CreateBatchRequest,
    DeleteBatchRequest,
    GetBatchRequest,
    ListBatchesRequest,
    Plan,
    RetryBatchRequest,
    WatchBatchRequest,
)
from unikat.v1.batches_pb2_grpc import BatchesStub


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.root = self._signed(self._name, self._key, is_authority=True)

    def issue(self, common_name: str) -> tuple[bytes, bytes]:
        """(key, certificate) for a name, as PEM; an empty name leaves it out. Good for the server as well."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem, self._signed(x509.Name(names), key)

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, is_authority: bool = False) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        if not is_authority:
            local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(local, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass
class Gate:
    """A service that asks for certificates."""

    serving: Serving
    authority: Authority

    @contextmanager
    def caller(self, common_name: str) -> Iterator[BatchesStub]:
        """The service as a client with a certificate sees it."""
        key, certificate = self.authority.issue(common_name)
        credentials = grpc.ssl_channel_credentials(self.authority.root, key, certificate)
        with grpc.secure_channel(self.serving.target, credentials) as channel:
            yield BatchesStub(channel)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    key, certificate = authority.issue("localhost")
    files: dict[str, tuple[Path, bytes]] = {
        "UNIKAT_TLS_CERT": (folder / "cert.pem", certificate),
        "UNIKAT_TLS_KEY": (folder / "key.pem", key),
        "UNIKAT_TLS_CA": (folder / "ca.pem", authority.root),
    }
    for path, content in files.values():
        path.write_bytes(content)
    settings = {name: str(path) for name, (path, _) in files.items()} | {"UNIKAT_DESTINATIONS": "/out"}
    with running_valkey() as valkey, serving_on(valkey, **settings) as serving:
        yield Gate(serving, authority)
        assert "Traceback" not in serving.program.output


def wish(folder: str, owner: str = "", request_id: str = "") -> CreateBatchRequest:
    return CreateBatchRequest(
        model="tiny", plans=[Plan(count=10)], destination=f"/out/{folder}", owner=owner, request_id=request_id
    )


def test_the_certificates_common_name_is_the_owner(gate: Gate) -> None:
    with gate.caller("anna@art") as anna:
        assert anna.CreateBatch(wish("a")).owner == "anna@art"
        assert anna.CreateBatch(wish("b", owner="anna@art")).owner == "anna@art"
        fields = fields_of(anna.CreateBatch, wish("c", owner="bert"))
        assert list(fields) == ["owner"]
        assert "anna@art" in fields["owner"]


def test_nobody_sees_or_touches_a_batch_of_somebody_else(gate: Gate) -> None:
    with gate.caller("cleo") as cleo, gate.caller("dora") as dora:
        batch = cleo.CreateBatch(wish("secret"))
        for call, request in (
            (dora.GetBatch, GetBatchRequest(id=batch.id)),
            (dora.CancelBatch, CancelBatchRequest(id=batch.id)),
            (dora.RetryBatch, RetryBatchRequest(id=batch.id)),
            (dora.DeleteBatch, DeleteBatchRequest(id=batch.id)),
            (dora.WatchBatch, WatchBatchRequest(id=batch.id)),
        ):
            error = refusal_of(call, request)
            assert isinstance(error, NotFound)
            assert error.reason == Reason.BATCH_NOT_FOUND
        assert not dora.ListBatches(ListBatchesRequest()).batches
        assert not dora.ListBatches(ListBatchesRequest(owner="cleo")).batches
        assert [found.id for found in cleo.ListBatches(ListBatchesRequest()).batches] == [batch.id]
        assert cleo.GetBatch(GetBatchRequest(id=batch.id)) == batch


def test_an_owner_does_with_its_batch_as_it_likes(gate: Gate) -> None:
    hand = BatchHand(gate.serving.redis)
    with gate.caller("emma") as emma:
        batch = emma.CreateBatch(wish("emma")).id
        hand.finish(batch, fail=(0,))
        assert emma.RetryBatch(RetryBatchRequest(id=batch)).state == Batch.STATE_RUNNING
        assert emma.CancelBatch(CancelBatchRequest(id=batch)).state == Batch.STATE_CANCELLED
        hand.close(batch)
        assert list(emma.WatchBatch(WatchBatchRequest(id=batch)))[-1].HasField("end_time")
        emma.DeleteBatch(DeleteBatchRequest(id=batch))


def test_a_request_id_is_ones_own(gate: Gate) -> None:
    with gate.caller("fred") as fred, gate.caller("gina") as gina:
        first, other = fred.CreateBatch(wish("f", request_id="r")), gina.CreateBatch(wish("g", request_id="r"))
        assert first.id != other.id
        assert fred.CreateBatch(wish("f", request_id="r")) == first
        error = refusal_of(gina.CreateBatch, wish("f", request_id="s"))
        assert isinstance(error, InvalidRequest)
        assert error.reason == Reason.DESTINATION_TAKEN
        assert first.id not in str(error.status), "whose batch writes there is nobody else's business"


@pytest.mark.parametrize("name", ["", "Anna Müller", "a/b"])
def test_a_certificate_whose_name_cannot_be_an_owner_is_refused(gate: Gate, name: str) -> None:
    with gate.caller(name) as stub:
        for call, request in ((stub.CreateBatch, wish("x")), (stub.ListBatches, ListBatchesRequest())):
            error = refusal_of(call, request)
            assert isinstance(error, PermissionDenied)
            assert error.reason == Reason.CERTIFICATE
            assert "common name" in str(error)


def test_without_certificates_everybody_sees_all(gate: Gate) -> None:
    """Another service on the same Redis, for operators."""
    with gate.caller("hans") as hans:
        batch = hans.CreateBatch(wish("h")).id
    with serving_on(gate.serving.valkey) as inside:
        assert inside.batches.GetBatch(GetBatchRequest(id=batch)).owner == "hans"
        assert inside.batches.ListBatches(ListBatchesRequest(owner="hans")).batches[0].id == batch
        assert inside.batches.CancelBatch(CancelBatchRequest(id=batch)).state == Batch.STATE_CANCELLED
