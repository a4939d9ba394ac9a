"""Claims and transfers while the registry is killed: one certificate a work, and every answer kept."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack
from tests.provenance.registering import Owner, Registering, drawing, registering
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat.certificate import Certificate
from unikat.errors import InvalidRequest, Overloaded
from unikat.registry import Registry, standing
from unikat.transparency import check_views
from unikat.v1 import provenance_pb2 as pb
from unikat_registry.database import open_database
from unikat_registry.log import Log

AT_ONCE = 50
KILLS = 2  # a round


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    with drawing(models) as running:
        yield running


def test_fifty_claims_at_once_while_the_registry_is_killed(
    stack: Stack, database_url: str, tmp_path: Path, is_long: bool, drill_seed: int
) -> None:
    print(f"\n--seed {drill_seed}")
    faults, rounds = random.Random(drill_seed), 20 if is_long else 1
    with registering(stack, tmp_path, database_url) as registry:
        for each in range(rounds):
            made, refused = _claimed_at_once(registry, faults, each)
            assert len(made) + len(refused) == AT_ONCE
            assert len({certificate.work.digest for certificate in made}) == AT_ONCE // 10
            # Of each artwork one owner has the work, and it is what stands against the others.
            owners = {certificate.work.digest: certificate.work.owner_key for certificate in made}
            assert {(work.digest, work.owner_key) for work in refused} <= set(owners.items())
            _check(registry, made)
    print(f"{rounds * KILLS} kills, {rounds * AT_ONCE} claims: every answer kept")


def _claimed_at_once(
    registry: Registering, faults: random.Random, each: int
) -> tuple[list[pb.Certificate], list[pb.Work]]:
    """The answers to claims of five artworks by two owners each, five times; what stood against others."""
    owners = [Owner("Anna"), Owner("Bela")]
    requests = [owners[i // 5 % 2].claim(each * 5 + i % 5 + 1) for i in range(AT_ONCE)]
    faults.shuffle(requests)
    answers: list[pb.Certificate | pb.Work] = []

    def claim(request: pb.ClaimArtworkRequest) -> None:
        answers.append(_claimed(client, request))

    with registry.client(reconnect_timeout=120.0) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        for kill in range(KILLS):
            part = requests[kill * AT_ONCE // KILLS : (kill + 1) * AT_ONCE // KILLS]
            wanted = len(answers) + faults.randrange(len(part) // 2)
            claiming = [pool.submit(claim, request) for request in part]
            eventually(lambda count=wanted: len(answers) >= count, 60, 0.001)  # type: ignore[misc]
            registry.kill()
            registry.start()
        for done in claiming:
            done.result()
    made = [answer for answer in answers if isinstance(answer, pb.Certificate)]
    return made, [answer for answer in answers if isinstance(answer, pb.Work)]


def _claimed(client: Registry, request: pb.ClaimArtworkRequest) -> pb.Certificate | pb.Work:
    """The certificate, or what stands against the claim; one of too many at a time comes back."""
    while True:
        try:
            return client.claim(request)
        except Overloaded:
            time.sleep(0.1)
        except InvalidRequest as error:
            work = standing(error)
            if work is None or error.reason != "ALREADY_CLAIMED":
                raise
            return work


def _check(registry: Registering, made: list[pb.Certificate]) -> None:
    """Every certificate that was given holds, is the only one of its work, and its log is the one that there is."""
    key = registry.key.verifier
    entries: dict[bytes, int] = {}
    engine = open_database(registry.database)
    log = Log(engine, key.name, registry.key)
    with registry.client() as client:
        listed = {work.digest: work.entry for work in client.works()}
    for answer in made:
        certificate = Certificate.parse(answer.document)
        certificate.verify(key)
        assert entries.setdefault(answer.work.digest, answer.work.entry) == answer.work.entry
        assert listed[answer.work.digest] == answer.work.entry
        size = certificate.claim.proof.tree_size
        check_views(certificate.checkpoint, log.checkpoint(), key, log.consistency(size, log.size()))
    assert sorted(listed.values()) == list(range(log.size()))  # an entry has its work, and there is no gap
    engine.dispose()


@pytest.mark.long
def test_a_transfer_that_is_sent_while_the_registry_is_killed_is_done_once(
    stack: Stack, database_url: str, tmp_path: Path, drill_seed: int
) -> None:
    faults = random.Random(drill_seed)
    owners = [Owner(f"Owner {number}") for number in range(100)]
    with registering(stack, tmp_path, database_url) as registry, registry.client(reconnect_timeout=120.0) as client:
        work = client.claim(owners[0].claim(1)).work
        for number, (owner, to) in enumerate(pairwise(owners), 1):
            request = owner.transfer(work, to, number)
            sending = threading.Thread(target=client.transfer, args=(request,), kwargs={"timeout": 120.0})
            sending.start()
            time.sleep(faults.uniform(0, 0.03))
            registry.kill()
            registry.start()
            sending.join(120)
            assert eventually(lambda n=number: client.certificate(work.id).work.transfers == n)  # type: ignore[misc]
        certificate = Certificate.parse(client.certificate(work.id).document)
        certificate.verify(registry.key.verifier)
        assert certificate.owner == (owners[-1].name, owners[-1].public)
