"""What is wrong with a request is said before anything is enqueued."""

from __future__ import annotations

import math
import string

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.calls import fields_of, refusal_of
from tests.service.conftest import Serving
from unikat.errors import InvalidRequest, NotFound, Reason
from unikat.v1.studio_pb2 import Blend, Condition, GenerateRequest

MALFORMED, MALFORMED_LONG = 300, 3000


def request(**fields: object) -> GenerateRequest:
    """A request in which only `fields` can be wrong."""
    return GenerateRequest(**({"model": "tiny", "count": 1} | fields))  # type: ignore[arg-type]  # that is the point


def category(attribute: str, name: str) -> Condition:
    return Condition(attribute=attribute, category=name)


def blend(**weights: float) -> Condition:
    return Condition(attribute="style", blend=Blend(weights=weights))


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        (request(model=""), "model", "name@version"),
        (request(model="Tiny"), "model", "name@version"),
        (request(model="tiny@0"), "model", "name@version"),
        (request(count=0), "count", "1 to 4096"),
        (request(count=4097), "count", "more is a batch"),
        (request(truncation=-0.1), "truncation", "0 to 2"),
        (request(truncation=math.nan), "truncation", "finite"),
        (request(truncation=math.inf), "truncation", "finite"),
        (request(format=17), "format", "IMAGE_FORMAT_WEBP"),
        (request(request_id="a b"), "request_id", "UUID"),
        (request(request_id="x" * 129), "request_id", "128"),
        (request(after_index=0), "after_index", "request_id"),
        (request(request_id="a", after_index=1), "after_index", "(0 to 0)"),
        (request(request_id="a", first_index=5, count=2, after_index=4), "after_index", "(5 to 6)"),
        (request(first_index=2**32 - 1, count=2), "first_index", "4294967294"),
        (request(conditions=[category("colour", "red")]), "conditions[0].attribute", '"style", "subject"'),
        (request(conditions=[category("style", "noto")]), "conditions[0].category", '"ink", "oil", "chalk"'),
        (request(conditions=[Condition(attribute="style")]), "conditions[0]", "categories"),
        (request(conditions=[category("style", "ink")] * 2), "conditions[1].attribute", "twice"),
        (request(conditions=[blend()]), "conditions[0].blend.weights", "more than 0"),
        (request(conditions=[blend(ink=0, oil=0)]), "conditions[0].blend.weights", "more than 0"),
        (request(conditions=[blend(ink=-1)]), "conditions[0].blend.weights[ink]", "at least 0"),
        (request(conditions=[blend(ink=math.nan)]), "conditions[0].blend.weights[ink]", "finite"),
        (request(conditions=[blend(noto=1)]), "conditions[0].blend.weights[noto]", '"ink", "oil", "chalk"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field_is_named_with_what_is_allowed(
    shared: Serving, wrong: GenerateRequest, field: str, says: str
) -> None:
    fields = fields_of(shared.generate, wrong)
    assert list(fields) == [field]
    assert says in fields[field]
    assert shared.hand.queued == []


def test_all_wrong_fields_are_named_at_once(shared: Serving) -> None:
    wrong = request(count=0, truncation=3, format=9, conditions=[category("style", "noto")])
    fields = fields_of(shared.generate, wrong)
    assert set(fields) == {"count", "truncation", "format", "conditions[0].category"}


def test_an_unknown_model_is_not_found_and_the_others_are_named(shared: Serving) -> None:
    for name in ("emoji", "tiny@7"):
        error = refusal_of(shared.generate, request(model=name))
        assert isinstance(error, NotFound)
        assert error.reason == Reason.MODEL_NOT_FOUND
        assert '"tiny@1"' in error.fields["model"]


def test_bytes_that_are_no_request_are_an_invalid_argument(shared: Serving) -> None:
    for method in ("Generate", "GetModel", "ListModels"):
        send = shared.channel.unary_stream(f"/unikat.v1.Studio/{method}", bytes, bytes)
        assert list(fields_of(send, b"\x0a\xff\xff")) == ["request"]


def test_what_a_caller_sent_cannot_make_the_answer_too_large_for_its_headers(shared: Serving) -> None:
    for huge in ("ü" * 30_000, "x" * 60_000):
        for wrong in (request(model=huge), request(conditions=[category(huge, huge)] * 5, count=0, request_id=huge)):
            assert fields_of(shared.generate, wrong)


# One strategy for each way in which a field can be wrong; the other fields are right.
texts = st.text(max_size=40)
unlike_names = texts.filter(lambda s: not s or s[0] not in string.ascii_lowercase)
not_categories = texts.filter(lambda s: s not in ("ink", "oil", "chalk"))
bad_weights = st.one_of(st.floats(max_value=-(2.0**-20), width=32), st.just(math.nan), st.just(math.inf))
malformed = st.one_of(
    st.builds(lambda name: (request(model=name), "model"), unlike_names),
    st.builds(lambda n: (request(count=n), "count"), st.just(0) | st.integers(4097, 2**32 - 1)),
    st.builds(
        lambda t: (request(truncation=t), "truncation"),
        st.floats(width=32).filter(lambda t: not 0 <= t <= 2),
    ),
    st.builds(lambda n: (request(format=n), "format"), st.integers(-(2**31), -1) | st.integers(4, 2**31 - 1)),
    st.builds(
        lambda s: (request(request_id=s), "request_id"),
        st.text(min_size=1, max_size=200).filter(lambda s: len(s) > 128 or not s.replace("-", "a").isalnum())
        .filter(lambda s: any(c not in string.ascii_letters + string.digits + "._-" for c in s) or len(s) > 128),
    ),
    st.builds(
        lambda n, i: (request(count=n, request_id="r", after_index=n + i), "after_index"),
        st.integers(1, 4096), st.integers(0, 2**31),
    ),
    st.builds(
        lambda name: (request(conditions=[category(name, "ink")]), "conditions[0].attribute"),
        texts.filter(lambda s: s not in ("style", "subject")),
    ),
    st.builds(lambda name: (request(conditions=[category("style", name)]), "conditions[0].category"), not_categories),
    st.builds(lambda w: (request(conditions=[blend(ink=1, oil=w)]), "conditions[0].blend.weights[oil]"), bad_weights),
    st.builds(
        lambda name: (
            request(conditions=[Condition(attribute="style", blend=Blend(weights={name: 1}))]),
            f"conditions[0].blend.weights[{name}]",
        ),
        not_categories,
    ),
)  # fmt: skip


def test_any_malformed_request_is_refused_and_leaves_nothing_behind(shared: Serving, is_long: bool) -> None:
    examples = MALFORMED_LONG if is_long else MALFORMED
    process = psutil.Process(shared.program.process.pid)
    keys = set(shared.redis.scan_iter("rq:*"))
    memory: list[int] = []

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(malformed)
    def refused(example: tuple[GenerateRequest, str]) -> None:
        wrong, field = example
        error = refusal_of(shared.generate, wrong)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert isinstance(error, InvalidRequest)
        assert list(error.fields) == [field]
        memory.append(process.memory_info().rss)

    refused()
    assert len(memory) >= examples
    assert shared.hand.queued == []
    assert set(shared.redis.scan_iter("rq:*")) == keys
    warmed_up, end = max(memory[: examples // 4]), memory[-1]
    assert end - warmed_up < 2 * 2**20, f"grew by {(end - warmed_up) / 2**20:.1f} MiB"
