"""Who is served: by tokens, by certificates, and without either."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from tests.service.calls import code_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.callers import LOCAL, channel_credentials, locked_service, make_token
from tests.support.processes import Program, eventually
from tests.support.valkey import Valkey
from unikat.cli.authority import Authority
from unikat.errors import PermissionDenied, Reason, Unauthenticated
from unikat.queue.keys import job_id_of
from unikat.queue.tokens import TOKENS_KEY, create, read_all, revoke, rotate
from unikat.v1.batches_pb2 import CreateBatchRequest, ListBatchesRequest, Plan
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub
from unikat_service.audit import shown

DENIED = grpc.StatusCode.PERMISSION_DENIED


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def models(serving: Serving, *shown: str) -> Callable[[], object]:
    """ListModels with tokens; the first is the token, others follow it in headers of their own."""
    metadata = tuple(header for token in shown for header in bearer(token))
    return lambda: serving.stub.ListModels(ListModelsRequest(), metadata=metadata)


def test_on_this_machine_nobody_needs_a_token_until_there_is_one(serving: Serving) -> None:
    assert code_of(models(serving)) is None
    token = make_token(serving.redis, "anna")
    assert isinstance(eventually(lambda: _refusal(models(serving)), 2), Unauthenticated)
    assert code_of(models(serving, token)) is None
    revoke(serving.redis, "anna")
    time.sleep(1)
    assert isinstance(_refusal(models(serving)), Unauthenticated), "with the last token gone, the door stays shut"


def _refusal(call: Callable[[], object]) -> object:
    return refusal_of(call) if code_of(call) else None


def test_two_tokens_at_once_are_none(serving: Serving) -> None:
    token = make_token(serving.redis, "anna")
    assert isinstance(refusal_of(models(serving, token, token)), Unauthenticated)


def test_settings_say_whether_callers_are_served_who_show_nothing(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_ANONYMOUS="none") as shut, serving_on(valkey, UNIKAT_ANONYMOUS="all") as wide:
        assert isinstance(refusal_of(models(shut)), Unauthenticated)
        assert code_of(models(wide)) is None
        make_token(wide.redis, "anna")
        assert code_of(models(wide)) is None


def test_where_others_are_known_nobody_sees_only_what_is_nobodys(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_ANONYMOUS="all", UNIKAT_DESTINATIONS="/out") as wide:
        anna = bearer(make_token(wide.redis, "anna"))
        wish = CreateBatchRequest(model="tiny", plans=[Plan(count=1)], destination="/out/a")
        assert wide.batches.CreateBatch(wish, metadata=anna).owner == "anna"
        assert not wide.batches.ListBatches(ListBatchesRequest()).batches
        wish.destination = "/out/b"
        assert wide.batches.CreateBatch(wish).owner == "default"
        wish.owner = "anna"
        assert code_of(wide.batches.CreateBatch, wish) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_job_of_nobody_has_the_id_that_it_always_had(serving: Serving) -> None:
    """So a request_id that was sent to a service of the release before is joined here."""
    call = serving.generate(GenerateRequest(model="tiny", count=1, request_id="order-1"))
    serving.hand.take().complete()
    assert next(iter(call)).accepted.job_id == job_id_of("order-1")


def test_a_caller_has_a_queue_of_its_own(serving: Serving) -> None:
    token = make_token(serving.redis, "anna")
    call = serving.stub.Generate(GenerateRequest(model="tiny", count=1), metadata=bearer(token), timeout=20)
    taken = serving.hand.take()
    assert taken.job.caller == "anna"
    taken.complete()
    assert len(list(call)) == 3


def test_a_token_expires_by_the_clock_of_redis(serving: Serving) -> None:
    token = make_token(serving.redis, "anna", lifetime=2.0)
    assert code_of(models(serving, token)) is None
    eventually(lambda: code_of(models(serving, token)) == grpc.StatusCode.UNAUTHENTICATED, 4, pause=0.1)


def test_a_rotated_token_has_the_same_scopes_and_the_old_one_ends(serving: Serving) -> None:
    old = make_token(serving.redis, "anna", "batch")
    first = rotate(serving.redis, "anna", 1.5)
    assert first is not None
    new = first[1]
    assert code_of(models(serving, old)) is None
    assert code_of(models(serving, new)) is None
    eventually(lambda: code_of(models(serving, old)) == grpc.StatusCode.UNAUTHENTICATED, 4, pause=0.1)
    assert code_of(models(serving, new)) is None
    assert {token.scopes for token in read_all(serving.redis)} == {("batch",)}
    assert rotate(serving.redis, "nobody", 1.0) is None


def test_redis_does_not_have_what_opens_the_service(serving: Serving) -> None:
    token, text = create(serving.redis, "anna", ["generate"], None)
    secret = text.removeprefix(f"unikat_{token.id}_")
    assert secret not in repr(serving.redis.hgetall(TOKENS_KEY))
    assert len(secret) == 43  # 256 bits as base64


@pytest.mark.parametrize(("name", "scopes"), [("default", "generate"), ("a b", "generate"), ("anna", "all"), ("a", "")])
def test_a_name_or_a_scope_that_there_cannot_be_makes_no_token(serving: Serving, name: str, scopes: str) -> None:
    with pytest.raises(ValueError, match=r"name|scopes"):
        create(serving.redis, name, scopes.split(), None)
    assert not read_all(serving.redis)


def test_a_record_that_cannot_be_read_opens_nothing(serving: Serving) -> None:
    token, text = create(serving.redis, "anna", ["generate"], None)
    serving.redis.hset(TOKENS_KEY, token.id, b'{"name": "anna"}')
    assert isinstance(refusal_of(models(serving, text)), Unauthenticated)


def test_every_refusal_is_a_line_that_says_who_and_why_and_no_secret(serving: Serving) -> None:
    text = make_token(serving.redis, "anna", "claim")
    request = GenerateRequest(model="tiny", count=1)
    error = refusal_of(lambda: list(serving.stub.Generate(request, metadata=bearer(text))))
    assert isinstance(error, PermissionDenied)
    assert error.reason == Reason.SCOPE
    refusal_of(models(serving, text[:-20]))
    eventually(lambda: serving.program.output.count("refused caller=") == 2)
    lines = [line for line in serving.program.output.splitlines() if "refused caller=" in line]
    assert 'caller="anna"' in lines[0]
    assert 'method="/unikat.v1.Studio/Generate" why="needs scope admin or generate"' in lines[0]
    assert 'peer="ipv4:127.0.0.1:' in lines[0]
    assert 'caller="?"' in lines[1]
    assert text[24:44] not in serving.program.output


def test_what_callers_send_cannot_speak_to_a_terminal_or_begin_a_line() -> None:
    assert shown('a"\x1b[2J\nrefused\u202e') == r'"a\"\x1b[2J\nrefused\u202e"'
    assert len(shown("x" * 10_000)) < 200


def test_a_flood_of_refusals_hides_nobody_and_is_counted(serving: Serving) -> None:
    anna = bearer(make_token(serving.redis, "anna", "claim"))
    for _ in range(300):
        assert code_of(models(serving, "no-token")) == grpc.StatusCode.UNAUTHENTICATED
    assert code_of(lambda: serving.stub.Draw(GenerateRequest(model="tiny"), metadata=anna)) == DENIED
    eventually(lambda: 'caller="anna"' in serving.program.output)
    assert serving.program.output.count('caller="?"') < 40


def test_a_certificate_has_the_scopes_that_a_setting_says(valkey: Valkey, tmp_path: Path) -> None:
    with locked_service(valkey, tmp_path, mutual=True, UNIKAT_CERTIFICATE_SCOPES="batch") as locked:
        anna = locked.authority.issue_client("anna", 1)
        with locked.channel(pair=anna) as channel:
            assert not BatchesStub(channel).ListBatches(ListBatchesRequest()).batches
            request = GenerateRequest(model="tiny", count=1)
            assert code_of(lambda: list(StudioStub(channel).Generate(request))) == DENIED
        token = make_token(locked.serving.redis, "bert", "generate")
        with locked.channel(token, anna) as channel:  # the token says more
            assert code_of(BatchesStub(channel).ListBatches, ListBatchesRequest()) == DENIED


def serial(target: str, root: Path) -> int:
    """Of the certificate that a new connection is shown."""
    host, _, port = target.partition(":")
    pem = ssl.get_server_certificate((host, int(port)), ca_certs=str(root))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_a_new_certificate_is_shown_without_a_restart(valkey: Valkey, tmp_path: Path) -> None:
    with locked_service(valkey, tmp_path, UNIKAT_ANONYMOUS="all") as locked, locked.channel() as open_before:
        ask = StudioStub(open_before).ListModels
        ask(ListModelsRequest())
        old = serial(locked.serving.target, tmp_path / "ca.crt")
        (tmp_path / "tls.crt").write_bytes(b"half a certif")  # what is broken is not shown
        assert serial(locked.serving.target, tmp_path / "ca.crt") == old
        renewed = locked.authority.issue_server(LOCAL, 1)
        renewed.save(tmp_path, "tls")
        wanted = x509.load_pem_x509_certificate(renewed.certificate).serial_number
        assert serial(locked.serving.target, tmp_path / "ca.crt") == wanted != old
        ask(ListModelsRequest())  # connections that there are go on


def test_another_authority_counts_from_the_next_connection_on(valkey: Valkey, tmp_path: Path) -> None:
    with locked_service(valkey, tmp_path, mutual=True) as locked:
        anna, theirs = locked.authority.issue_client("anna", 1), Authority.create()
        bert, request = theirs.issue_client("bert", 1), ListModelsRequest()
        for authority, welcome, turned_away in ((locked.authority, anna, bert), (theirs, bert, anna)):
            authority.issue_server(LOCAL, 1).save(tmp_path, "tls")
            for pair, code in ((welcome, None), (turned_away, grpc.StatusCode.UNAVAILABLE)):
                credentials = channel_credentials(authority.root, pair=pair)
                with grpc.secure_channel(locked.serving.target, credentials) as channel:
                    assert code_of(StudioStub(channel).ListModels, request) == code


def refused_start(valkey: Valkey, **environment: str) -> str:
    """What a service says that does not start."""
    with Program("unikat_service", env={"UNIKAT_REDIS_URL": valkey.url, **environment}) as program:
        assert program.wait(20) != 0
        return " ".join(program.output.replace("│", " ").split())


def test_without_tls_a_service_is_not_opened_to_other_machines(valkey: Valkey) -> None:
    said = refused_start(valkey, UNIKAT_LISTEN="0.0.0.0:0")
    assert "nothing would be encrypted" in said
    assert "unikat keys init" in said
    assert "--allow-plaintext" in said
    for address in ("[::]:0", "192.0.2.1:0", "example.org:0"):
        assert "nothing would be encrypted" in refused_start(valkey, UNIKAT_LISTEN=address)


def test_beyond_this_machine_nobody_is_served_without_a_token_and_nothing_is_reflected(valkey: Valkey) -> None:
    environment = {"UNIKAT_LISTEN": "0.0.0.0:0", "UNIKAT_ALLOW_PLAINTEXT": "1", "UNIKAT_REDIS_URL": valkey.url}
    with valkey.client() as redis, Program("unikat_service", env=environment) as program:
        port = program.wait_for_line(r"listening on 0\.0\.0\.0:(\d+)")[1]
        token = bearer(make_token(redis, "anna", "admin"))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = StudioStub(channel).ListModels
            assert code_of(ask, ListModelsRequest()) == grpc.StatusCode.UNAUTHENTICATED
            assert code_of(lambda: ask(ListModelsRequest(), metadata=token)) != grpc.StatusCode.UNAUTHENTICATED
            reflect = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", bytes, bytes
            )
            code = code_of(lambda: list(reflect(iter([b""]), metadata=token)))
            assert code == grpc.StatusCode.UNIMPLEMENTED


def test_a_key_that_is_not_the_certificates_is_told_at_the_start(valkey: Valkey, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Authority.create().issue_server(LOCAL, 1).save(tmp_path / name, "tls")
    files = {"UNIKAT_TLS_CERT": tmp_path / "a" / "tls.crt", "UNIKAT_TLS_KEY": tmp_path / "b" / "tls.key"}
    said = refused_start(valkey, **{name: str(path) for name, path in files.items()}, UNIKAT_LISTEN="127.0.0.1:0")
    assert "not a certificate, its key" in said
    assert "Traceback" not in said
