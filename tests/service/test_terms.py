"""What images must meet is asked of workers that know it, and of no others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import grpc
import pytest
import typer

from tests.service.by_hand import ByHand, described
from tests.service.calls import Responses, error_from, fields_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.processes import eventually
from tests.support.tiny_model import tiny_model
from tests.support.valkey import running_valkey
from unikat.errors import Reason, WrongState
from unikat.queue.job import TERMS
from unikat.v1 import studio_pb2 as pb
from unikat.v1.batches_pb2 import Axis, CreateBatchRequest, Grid, Plan
from unikat_service.denials import parse_denied
from unikat_service.settings import OriginalityName, Settings

OIL = pb.Condition(attribute="style", category="oil")


@pytest.fixture(scope="module")
def strict() -> Iterator[Serving]:
    """A service that wants to be told of near copies and denies oil; one worker of the release before is announced."""
    deny = "tiny.style=oil,tiny.style=oyl"
    with (
        running_valkey() as valkey,
        serving_on(valkey, UNIKAT_ORIGINALITY="warn", UNIKAT_DENY=deny, UNIKAT_DESTINATIONS="/out") as one,
    ):
        yield one


def announced(hand: ByHand, terms: list[str], *, indexed: bool = True, name: str = "w1") -> None:
    model = described(tiny_model())
    hand.announce(model, name=name, terms=terms, indexed=[model.digest] if indexed else [])


def request(**fields: object) -> pb.GenerateRequest:
    fields = {"model": "tiny", "count": 1, "conditions": [pb.Condition(attribute="style", category="ink")]} | fields
    return pb.GenerateRequest(**fields)  # type: ignore[arg-type]  # fields by name


def test_a_worker_of_the_release_before_is_not_given_what_it_would_pass_over(strict: Serving) -> None:
    strict.hand.announce()
    for field, wrong in (
        ("originality", request(originality=pb.ORIGINALITY_MODE_ENFORCE)),
        ("attempt", request(attempt=1)),
        ("deny", request(conditions=[])),  # the worker would choose the style
        ("recipe", request(recipe=pb.Recipe(points=[pb.WeightedPoint(point=pb.Point(seed=7), weight=1)]))),
    ):
        error = eventually(partial(refused_as_old, strict, wrong))
        assert str(error).startswith(f"{field}: ")
        assert "update all workers" in str(error)
    call = strict.generate(request())  # whom it asks for nothing gets it, though it says nothing of near copies
    job = strict.hand.take()
    assert (job.job.originality, job.job.attempt, job.job.deny) == ("warn", 0, {})
    job.complete()
    assert len(list(call)) == 3


def refused_as_old(serving: Serving, wrong: pb.GenerateRequest) -> WrongState | None:
    error = refusal_of(serving.generate, wrong)
    return error if isinstance(error, WrongState) and error.reason == Reason.OLD_WORKER else None


def test_terms_are_in_the_job(strict: Serving) -> None:
    announced(strict.hand, list(TERMS))
    wish = request(originality=pb.ORIGINALITY_MODE_ENFORCE, attempt=3, conditions=[])
    call = eventually(lambda: accepted(strict, wish))
    assert call is not None
    job = strict.hand.take()
    assert (job.job.originality, job.job.attempt, job.job.deny) == ("enforce", 3, {"style": ["oil"]})
    job.complete()
    list(call)


def accepted(serving: Serving, wish: pb.GenerateRequest) -> Responses | None:
    """A call once the service has heard of the worker."""
    call = serving.generate(wish)
    try:
        next(call)
    except grpc.RpcError:
        return None
    return call


def test_one_worker_without_an_index_is_enough(strict: Serving) -> None:
    announced(strict.hand, list(TERMS))
    announced(strict.hand, list(TERMS), indexed=False, name="w2")
    wrong = request(originality=pb.ORIGINALITY_MODE_ENFORCE)
    error = eventually(lambda: without_index(strict, wrong))
    assert "no index of its training pictures" in str(error)
    strict.hand.bury("w2")


def without_index(serving: Serving, wrong: pb.GenerateRequest) -> WrongState | None:
    try:
        error = refusal_of(serving.generate, wrong, 0.5)
    except AssertionError:
        return None
    return error if isinstance(error, WrongState) and error.reason == Reason.NO_ORIGINALITY else None


def test_what_is_denied_is_named_with_what_is_left(strict: Serving) -> None:
    says = '"oil" is not delivered by this service; choose from "ink", "chalk"'
    assert fields_of(strict.generate, request(conditions=[OIL])) == {"conditions[0]": says}
    blend = pb.Condition(attribute="style", blend=pb.Blend(weights={"ink": 0.9, "oil": 0.1}))
    assert fields_of(strict.generate, request(conditions=[blend])) == {"conditions[0]": says}
    assert strict.program.output.count("--deny: tiny@1 has no style=oyl: nothing of it is denied") == 1


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"plans": [Plan(count=1), Plan(count=1, conditions=[OIL])]}, "plans[1].conditions[0]"),
        ({"grid": Grid(count=1, axes=[Axis(attribute="style")])}, "grid.axes[0].categories"),
        ({"grid": Grid(count=1, axes=[Axis(attribute="subject")], conditions=[OIL])}, "grid.conditions[0]"),
    ],
)
def test_a_batch_cannot_ask_for_it_either(strict: Serving, wish: dict[str, object], field: str) -> None:
    announced(strict.hand, list(TERMS))
    batch = CreateBatchRequest(model="tiny", destination="/nowhere", **wish)  # type: ignore[arg-type]  # fields by name
    found = fields_of(strict.batches.CreateBatch, batch)
    assert field in found
    assert "oil" in found[field]


@pytest.mark.parametrize(
    ("service", "asked", "mode"),
    [
        ("off", pb.ORIGINALITY_MODE_UNSPECIFIED, ""),
        ("off", pb.ORIGINALITY_MODE_WARN, "warn"),
        ("warn", pb.ORIGINALITY_MODE_OFF, "warn"),
        ("warn", pb.ORIGINALITY_MODE_ENFORCE, "enforce"),
        ("enforce", pb.ORIGINALITY_MODE_UNSPECIFIED, "enforce"),
        ("enforce", pb.ORIGINALITY_MODE_OFF, "enforce"),
    ],
)
def test_a_request_can_only_be_stricter(service: str, asked: pb.OriginalityMode, mode: str) -> None:
    assert Settings(originality=OriginalityName(service)).mode(asked) == mode


def test_denials_are_read_by_model() -> None:
    found = parse_denied("portraits.mood=grim, portraits.mood=sad,emoji.style=noto")
    assert found == {"portraits": {"mood": ["grim", "sad"]}, "emoji": {"style": ["noto"]}}


@pytest.mark.parametrize("text", ["mood=grim", "portraits.mood", "portraits@1.mood=grim", ".mood=grim", "p.=x", "p.m="])
def test_what_is_no_denial_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"--deny: .* must be model\.attribute=category"):
        Settings(deny=text)


def test_a_batch_is_not_given_to_workers_that_would_not_sign_it(strict: Serving) -> None:
    wish = CreateBatchRequest(
        model="tiny", plans=[Plan(count=1, conditions=[pb.Condition(attribute="style", category="ink")])],
        destination="/out/signed", credentials=pb.CREDENTIALS_SIDECAR,
    )  # fmt: skip

    def as_old() -> bool:
        try:
            strict.batches.EstimateBatch(wish)
        except grpc.RpcError as error:
            found = error_from(error)
            return found.reason == Reason.OLD_WORKER and str(found).startswith("credentials: ")
        return False  # the service has not heard of it yet

    announced(strict.hand, [term for term in TERMS if term != "credentials"])
    eventually(as_old)
