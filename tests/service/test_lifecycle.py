"""The service is stopped, killed or cut off from Redis, and no caller loses anything."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import grpc

from tests.service.calls import code_of, indices, refusal_of
from tests.service.conftest import READY, Serving, serving_on
from tests.support.processes import ROOT, Program, eventually
from tests.support.valkey import Valkey
from unikat.errors import Reason, Unavailable
from unikat.queue.stream import END_ID, stream_key
from unikat.v1.studio_pb2 import GenerateRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub

TLS = Path(__file__).parent / "tls"


def wish(count: int = 4, after: int | None = None, request_id: str | None = None) -> GenerateRequest:
    return GenerateRequest(model="tiny", count=count, after_index=after, request_id=request_id or str(uuid.uuid4()))


def test_calls_that_end_within_the_grace_notice_nothing_of_a_sigterm(serving: Serving) -> None:
    call = serving.generate(wish())
    taken = serving.hand.take()
    taken.publish(0, 1)
    assert [next(call).WhichOneof("event") for _ in range(3)] == ["accepted", "artwork", "artwork"]
    serving.program.process.send_signal(signal.SIGTERM)
    serving.program.wait_for_line("Asked to stop")
    taken.publish(2, 3)
    taken.finish()
    assert indices(call) == [2, 3]
    assert serving.program.wait() == 0
    assert "Traceback" not in serving.program.output
    assert not list(serving.redis.scan_iter("unikat:inbox:*"))


def test_calls_that_outlast_the_grace_are_told_to_come_back_and_their_jobs_go_on(valkey: Valkey) -> None:
    request = wish()
    with serving_on(valkey, UNIKAT_GRACE_S="0.2") as serving:
        call, anonymous = serving.generate(request), serving.generate(GenerateRequest(model="tiny", count=4))
        jobs = {taken.job_id: taken for taken in (serving.hand.take(), serving.hand.take())}
        taken, other = jobs.pop(next(call).accepted.job_id), jobs.pop(next(anonymous).accepted.job_id)
        taken.publish(0)
        assert next(call).artwork.index == 0
        assert serving.program.terminate() == 0
        for error in (refusal_of(iter, call), refusal_of(iter, anonymous)):
            assert isinstance(error, Unavailable)
            assert error.reason == Reason.SHUTTING_DOWN
            assert error.retry_after
        assert serving.redis.xlen(stream_key(taken.job_id)) == 1, "the job was ended, but its caller can come back"
        ends = serving.redis.xrange(stream_key(other.job_id), min=END_ID)
        assert ends, "nobody can come back for it, but it was not ended"
        assert "Traceback" not in serving.program.output
    with serving_on(valkey) as successor:
        again = successor.generate(wish(after=0, request_id=request.request_id))
        assert next(again).accepted.job_id == taken.job_id
        taken.publish(1, 2, 3)
        taken.finish()
        assert indices(again) == [1, 2, 3]


def test_a_killed_service_loses_nothing(valkey: Valkey) -> None:
    request = wish()
    with serving_on(valkey) as serving:
        call = serving.generate(request)
        taken = serving.hand.take()
        taken.publish(0, 1)
        assert indices([next(call) for _ in range(3)]) == [0, 1]
        serving.program.kill()
        assert code_of(iter, call) == grpc.StatusCode.UNAVAILABLE
    with serving_on(valkey) as successor:
        again = successor.generate(wish(after=1, request_id=request.request_id))
        taken.publish(2, 3)
        taken.finish()
        assert indices(again) == [2, 3]


def test_a_restart_of_redis_is_nothing_but_a_pause_for_calls_in_flight(durable: Serving) -> None:
    call = durable.generate(wish(), timeout=60)
    taken = durable.hand.take()
    taken.publish(0)
    assert indices([next(call), next(call)]) == [0]
    durable.valkey.kill()
    eventually(lambda: _refused_for_want_of_redis(durable))
    durable.valkey.start()
    taken.publish(1, 2, 3)
    taken.finish()
    begin = time.monotonic()
    assert indices(call) == [1, 2, 3]
    assert time.monotonic() - begin < 5
    eventually(lambda: code_of(durable.stub.ListModels, ListModelsRequest()) is None)


def _refused_for_want_of_redis(serving: Serving) -> bool:
    if code_of(serving.stub.ListModels, ListModelsRequest()) is None:
        return False
    error = refusal_of(serving.generate, wish())
    assert isinstance(error, Unavailable)
    assert error.reason == Reason.STORE_UNAVAILABLE
    return error.retry_after is not None


def test_a_service_can_be_started_before_redis(durable_valkey: Valkey) -> None:
    durable_valkey.kill()
    environment = {"UNIKAT_REDIS_URL": durable_valkey.url, "UNIKAT_LISTEN": "127.0.0.1:0"}
    with Program("unikat_service", env=environment) as program:
        target = f"127.0.0.1:{program.wait_for_line(READY)[1]}"
        with grpc.insecure_channel(target) as channel:
            error = refusal_of(StudioStub(channel).ListModels, ListModelsRequest())
            assert error.reason == Reason.STORE_UNAVAILABLE
            durable_valkey.start()
            eventually(
                lambda: refusal_of(StudioStub(channel).ListModels, ListModelsRequest()).reason == Reason.NO_WORKER
            )


def test_a_service_needs_no_libraries_for_files() -> None:
    program = "import unikat_service.__main__, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split())
    assert loaded & {"fsspec", "pyarrow", "s3fs", "PIL", "onnxruntime"} == set()


def test_a_port_that_is_taken_is_an_error_that_names_it(shared: Serving) -> None:
    with Program("unikat_service", "--listen", shared.target, "--redis-url", shared.valkey.url) as second:
        assert second.wait() == 1
        assert f"cannot listen on {shared.target}" in second.output
        assert "Traceback" not in second.output


def test_settings_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    with Program("unikat_service", "--tls-cert", str(tmp_path / "cert.pem")) as program:
        assert program.wait() == 2
        assert "go together" in program.output


def test_tls_and_client_certificates(valkey: Valkey) -> None:
    certificate, key = TLS / "localhost.pem", TLS / "localhost.key"
    settings = {f"UNIKAT_TLS_{name}": str(path) for name, path in (("CERT", certificate), ("KEY", key))}
    root, pair = certificate.read_bytes(), (key.read_bytes(), certificate.read_bytes())
    with serving_on(valkey, **settings) as serving:
        assert _lists(serving, grpc.ssl_channel_credentials(root))
        assert code_of(serving.stub.ListModels, ListModelsRequest()) == grpc.StatusCode.UNAVAILABLE  # no TLS
    with serving_on(valkey, **settings, UNIKAT_TLS_CA=str(certificate)) as serving:
        assert _lists(serving, grpc.ssl_channel_credentials(root, *pair))
        assert not _lists(serving, grpc.ssl_channel_credentials(root))


def _lists(serving: Serving, credentials: grpc.ChannelCredentials) -> bool:
    with grpc.secure_channel(serving.target, credentials) as channel:
        return code_of(StudioStub(channel).ListModels, ListModelsRequest()) is None
