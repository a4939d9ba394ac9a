"""What client and command line show of themselves, and to whom; `unikat tokens` and `unikat keys`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.service.conftest import serving_on
from tests.support.callers import locked_service, make_token
from tests.support.valkey import Valkey
from unikat.cli.tokens import Scope
from unikat.client import Studio
from unikat.credentials import SCOPES, find_token, metadata_of
from unikat.errors import Unauthenticated, Unavailable
from unikat.link import Address
from unikat.loopback import is_loopback
from unikat.queue.tokens import TOKENS_KEY

HERE = (
    "localhost", "localhost:50051", "127.0.0.1:1", "127.9.9.9:1", "[::1]:50051", "::1", "unix:/run/unikat.sock",
    "dns:///localhost:1", "ipv4:127.0.0.1:1", "ipv6:[::1]:1",
)  # fmt: skip
ELSEWHERE = (
    "example.org:443", "10.0.0.1:1", "0.0.0.0:1", "[::]:1", "localhost.example.org:1", "127.0.0.1.example.org:1", "",
    "dns://192.0.2.1/localhost:1", "ipv4:127.0.0.1:1,192.0.2.1:1", "xds:///localhost", "localhost:1@example.org:1",
)  # fmt: skip


def unikat(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
    return subprocess.run(
        [sys.executable, "-m", "unikat.cli", *words], env=clean | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("target", HERE)
def test_a_token_goes_to_this_machine_in_plaintext(target: str) -> None:
    assert is_loopback(target)
    assert Address(target, None).showing("t").metadata == (("authorization", "Bearer t"),)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_token_goes_to_no_other_machine_in_plaintext(target: str) -> None:
    assert not is_loopback(target)
    with pytest.raises(ValueError, match=r"--tls") as caught:
        metadata_of("very-secret", target, is_encrypted=False)
    assert "very-secret" not in str(caught.value)
    assert metadata_of("very-secret", target, is_encrypted=True)
    assert metadata_of(None, target, is_encrypted=False) == ()


def test_what_is_meant_for_this_machine_goes_through_no_proxy() -> None:
    assert ("grpc.enable_http_proxy", 0) in Address("localhost:1", None).options
    assert ("grpc.enable_http_proxy", 0) not in Address("example.org:1", None).options


def test_a_token_comes_from_where_it_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNIKAT_TOKEN", "UNIKAT_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert find_token(None) is None
    for name in ("named", "given"):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.setenv("UNIKAT_TOKEN_FILE", str(tmp_path / "named"))
    assert find_token(None) == "named"
    monkeypatch.setenv("UNIKAT_TOKEN", "variable")
    assert find_token(None) == "variable"
    assert find_token(None, tmp_path / "given") == "given"
    assert find_token("argument", tmp_path / "given") == "argument"
    with pytest.raises(ValueError, match="one word") as caught:
        find_token("two words")
    assert "two words" not in str(caught.value)


def test_a_file_that_is_named_goes_before_the_environments_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words")
    done = unikat("models", "--token-file", str(tmp_path / "token"), UNIKAT_TOKEN="good", UNIKAT_TARGET="localhost:1")
    assert "a token is one word" in done.stderr


def test_scopes_are_the_same_everywhere() -> None:
    assert tuple(Scope) == SCOPES


def test_a_studio_shows_its_token_with_every_call(valkey: Valkey) -> None:
    with serving_on(valkey) as serving:
        token = make_token(serving.redis, "anna")
        with Studio(serving.target, token=token) as studio:
            assert [model.name for model in studio.models()] == ["tiny"]
            assert not list(studio.batches())
            with studio.generate("tiny", count=1) as generation:
                serving.hand.take().complete()
                assert generation.accepted.count == 1
        with Studio(serving.target, token="unikat_wrong") as studio, pytest.raises(Unauthenticated, match="token"):
            studio.models()


def test_the_command_line_shows_a_certificate_and_a_token(valkey: Valkey, tmp_path: Path) -> None:
    with locked_service(valkey, tmp_path, mutual=True) as locked:
        locked.authority.issue_client("anna", 1).save(tmp_path / "anna", "tls")
        with Studio(locked.serving.target, ca=tmp_path / "ca.crt") as studio, pytest.raises(Unavailable):
            studio.models()
        files = [word for flag, name in (("ca", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key"))
                 for word in (f"--tls-{flag}", str(tmp_path / "anna" / name))]  # fmt: skip
        done = unikat("models", "--target", locked.serving.target, *files)
        assert (done.returncode, "tiny@1" in done.stdout) == (0, True), done.stderr
        listed = unikat("batch", "list", "--target", locked.serving.target, *files, UNIKAT_TOKEN="unikat_wrong")
        assert listed.returncode == 1
        assert "show a token" in listed.stderr
        half = unikat("models", "--target", locked.serving.target, *files[:4])
        assert (half.returncode, "go together" in half.stderr) == (2, True)


def test_tokens_are_made_listed_rotated_and_revoked(valkey: Valkey, redis: Redis) -> None:
    where = {"UNIKAT_REDIS_URL": valkey.url}
    made = unikat("tokens", "create", "anna", "--scope", "generate", "--scope", "batch", **where)
    token = made.stdout.strip()
    assert token.startswith("unikat_"), made.stderr
    rotated = unikat("tokens", "rotate", "anna", "--overlap", "0", **where).stdout.strip()
    assert rotated != token
    listed = [json.loads(line) for line in unikat("tokens", "list", "--all", "--json", **where).stdout.splitlines()]
    assert [(each["name"], each["state"], each["scopes"]) for each in listed] == [
        ("anna", "valid", ["generate", "batch"]), ("anna", "expired", ["generate", "batch"]),
    ]  # fmt: skip
    gone = unikat("tokens", "revoke", "anna", **where)
    assert listed[0]["id"] in gone.stdout
    assert unikat("tokens", "revoke", "anna", **where).returncode == 2
    assert "no tokens" in unikat("tokens", "list", **where).stderr
    for each in (token, rotated):
        secret = each.split("_", 2)[2]  # "unikat_<id>_<secret>"; the secret may have underscores, too
        assert len(secret) == 43
        assert secret not in gone.stdout + repr(redis.hgetall(TOKENS_KEY))


def test_keys_are_for_their_owner_and_an_authority_is_made_once(tmp_path: Path) -> None:
    where = {"UNIKAT_KEYS": str(tmp_path / "keys")}
    assert unikat("keys", "client", "anna", **where).returncode == 2, "there is no authority yet"
    for words in (("init", "--name", "art.example", "--name", "192.0.2.7"), ("client", "anna"), ("server",)):
        done = unikat("keys", *words, **where)
        assert done.returncode == 0, done.stderr
    assert "art.example" in done.stdout, "the names stay when the certificate is made anew"
    assert "192.0.2.7" in done.stdout
    again = unikat("keys", "init", **where)
    assert (again.returncode, "already" in again.stderr) == (2, True)
    found = sorted(path for path in (tmp_path / "keys").rglob("*.key"))
    assert [path.relative_to(tmp_path / "keys").as_posix() for path in found] == [
        "authority/ca.key", "clients/anna/tls.key", "service/tls.key",
    ]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    for name in ("default", "../x", "a b", ".."):
        assert unikat("keys", "client", name, **where).returncode == 2
