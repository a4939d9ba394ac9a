import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from unikat.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Easing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EASING_UNSPECIFIED: _ClassVar[Easing]
    EASING_LINEAR: _ClassVar[Easing]
    EASING_SMOOTH: _ClassVar[Easing]

class OriginalityMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGINALITY_MODE_UNSPECIFIED: _ClassVar[OriginalityMode]
    ORIGINALITY_MODE_OFF: _ClassVar[OriginalityMode]
    ORIGINALITY_MODE_WARN: _ClassVar[OriginalityMode]
    ORIGINALITY_MODE_ENFORCE: _ClassVar[OriginalityMode]

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_WEBP: _ClassVar[ImageFormat]
    IMAGE_FORMAT_JPEG: _ClassVar[ImageFormat]

class Credentials(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIALS_UNSPECIFIED: _ClassVar[Credentials]
    CREDENTIALS_NONE: _ClassVar[Credentials]
    CREDENTIALS_SIDECAR: _ClassVar[Credentials]
    CREDENTIALS_EMBEDDED: _ClassVar[Credentials]

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    REFUSAL_NEAR_COPY: _ClassVar[Refusal]
    REFUSAL_CONTENT: _ClassVar[Refusal]
EASING_UNSPECIFIED: Easing
EASING_LINEAR: Easing
EASING_SMOOTH: Easing
ORIGINALITY_MODE_UNSPECIFIED: OriginalityMode
ORIGINALITY_MODE_OFF: OriginalityMode
ORIGINALITY_MODE_WARN: OriginalityMode
ORIGINALITY_MODE_ENFORCE: OriginalityMode
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_WEBP: ImageFormat
IMAGE_FORMAT_JPEG: ImageFormat
CREDENTIALS_UNSPECIFIED: Credentials
CREDENTIALS_NONE: Credentials
CREDENTIALS_SIDECAR: Credentials
CREDENTIALS_EMBEDDED: Credentials
REFUSAL_UNSPECIFIED: Refusal
REFUSAL_NEAR_COPY: Refusal
REFUSAL_CONTENT: Refusal

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("model", "conditions", "count", "seed", "truncation", "format", "request_id", "after_index", "first_index", "background", "credentials", "originality", "attempt", "recipe", "walk")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_INDEX_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    ORIGINALITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    WALK_FIELD_NUMBER: _ClassVar[int]
    model: str
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    count: int
    seed: int
    truncation: float
    format: ImageFormat
    request_id: str
    after_index: int
    first_index: int
    background: str
    credentials: Credentials
    originality: OriginalityMode
    attempt: int
    recipe: Recipe
    walk: Walk
    def __init__(self, model: _Optional[str] = ..., conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., count: _Optional[int] = ..., seed: _Optional[int] = ..., truncation: _Optional[float] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., request_id: _Optional[str] = ..., after_index: _Optional[int] = ..., first_index: _Optional[int] = ..., background: _Optional[str] = ..., credentials: _Optional[_Union[Credentials, str]] = ..., originality: _Optional[_Union[OriginalityMode, str]] = ..., attempt: _Optional[int] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., walk: _Optional[_Union[Walk, _Mapping]] = ...) -> None: ...

class Recipe(_message.Message):
    __slots__ = ("points", "shifts", "mutation")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SHIFTS_FIELD_NUMBER: _ClassVar[int]
    MUTATION_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[WeightedPoint]
    shifts: _containers.RepeatedCompositeFieldContainer[Shift]
    mutation: Mutation
    def __init__(self, points: _Optional[_Iterable[_Union[WeightedPoint, _Mapping]]] = ..., shifts: _Optional[_Iterable[_Union[Shift, _Mapping]]] = ..., mutation: _Optional[_Union[Mutation, _Mapping]] = ...) -> None: ...

class WeightedPoint(_message.Message):
    __slots__ = ("point", "vector", "weight")
    POINT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    point: Point
    vector: Vector
    weight: float
    def __init__(self, point: _Optional[_Union[Point, _Mapping]] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("seed", "index")
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    seed: int
    index: int
    def __init__(self, seed: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Shift(_message.Message):
    __slots__ = ("direction", "strength")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    direction: str
    strength: float
    def __init__(self, direction: _Optional[str] = ..., strength: _Optional[float] = ...) -> None: ...

class Mutation(_message.Message):
    __slots__ = ("radius", "seed")
    RADIUS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    radius: float
    seed: int
    def __init__(self, radius: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class Walk(_message.Message):
    __slots__ = ("keyframes", "frames", "loop", "easing")
    KEYFRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    EASING_FIELD_NUMBER: _ClassVar[int]
    keyframes: _containers.RepeatedCompositeFieldContainer[Recipe]
    frames: int
    loop: bool
    easing: Easing
    def __init__(self, keyframes: _Optional[_Iterable[_Union[Recipe, _Mapping]]] = ..., frames: _Optional[int] = ..., loop: _Optional[bool] = ..., easing: _Optional[_Union[Easing, str]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("attribute", "category", "blend")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    BLEND_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    category: str
    blend: Blend
    def __init__(self, attribute: _Optional[str] = ..., category: _Optional[str] = ..., blend: _Optional[_Union[Blend, _Mapping]] = ...) -> None: ...

class Blend(_message.Message):
    __slots__ = ("weights",)
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.ScalarMap[str, float]
    def __init__(self, weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("accepted", "artwork", "finished", "refused")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ARTWORK_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    artwork: Artwork
    finished: Finished
    refused: Refused
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., artwork: _Optional[_Union[Artwork, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("index", "reason", "detail", "digest", "conditions")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    index: int
    reason: Refusal
    detail: str
    digest: bytes
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    def __init__(self, index: _Optional[int] = ..., reason: _Optional[_Union[Refusal, str]] = ..., detail: _Optional[str] = ..., digest: _Optional[bytes] = ..., conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("job_id", "model", "model_digest", "seed", "count", "truncation", "format", "conditions", "queue_position", "first_index", "background", "credentials", "recipe", "walk")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    WALK_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    model: str
    model_digest: str
    seed: int
    count: int
    truncation: float
    format: ImageFormat
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    queue_position: int
    first_index: int
    background: str
    credentials: Credentials
    recipe: Recipe
    walk: Walk
    def __init__(self, job_id: _Optional[str] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., seed: _Optional[int] = ..., count: _Optional[int] = ..., truncation: _Optional[float] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., queue_position: _Optional[int] = ..., first_index: _Optional[int] = ..., background: _Optional[str] = ..., credentials: _Optional[_Union[Credentials, str]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., walk: _Optional[_Union[Walk, _Mapping]] = ...) -> None: ...

class Artwork(_message.Message):
    __slots__ = ("index", "id", "media_type", "image", "seed", "conditions", "truncation", "width", "height", "model_digest", "renderer", "timings", "accepted", "background", "digest", "credentials", "originality", "pixels_digest", "recipe")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RENDERER_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    ORIGINALITY_FIELD_NUMBER: _ClassVar[int]
    PIXELS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    media_type: str
    image: bytes
    seed: int
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    truncation: float
    width: int
    height: int
    model_digest: str
    renderer: Renderer
    timings: Timings
    accepted: Accepted
    background: str
    digest: bytes
    credentials: bytes
    originality: Originality
    pixels_digest: bytes
    recipe: Recipe
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., media_type: _Optional[str] = ..., image: _Optional[bytes] = ..., seed: _Optional[int] = ..., conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., truncation: _Optional[float] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., model_digest: _Optional[str] = ..., renderer: _Optional[_Union[Renderer, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., background: _Optional[str] = ..., digest: _Optional[bytes] = ..., credentials: _Optional[bytes] = ..., originality: _Optional[_Union[Originality, _Mapping]] = ..., pixels_digest: _Optional[bytes] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ...) -> None: ...

class Originality(_message.Message):
    __slots__ = ("distance", "percentile", "attempt")
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    distance: float
    percentile: float
    attempt: int
    def __init__(self, distance: _Optional[float] = ..., percentile: _Optional[float] = ..., attempt: _Optional[int] = ...) -> None: ...

class Renderer(_message.Message):
    __slots__ = ("provider", "runtime", "processor", "encoder", "mark")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    provider: str
    runtime: str
    processor: str
    encoder: str
    mark: str
    def __init__(self, provider: _Optional[str] = ..., runtime: _Optional[str] = ..., processor: _Optional[str] = ..., encoder: _Optional[str] = ..., mark: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queued", "batched", "drawn", "encoded")
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    BATCHED_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    queued: _duration_pb2.Duration
    batched: _duration_pb2.Duration
    drawn: _duration_pb2.Duration
    encoded: _duration_pb2.Duration
    def __init__(self, queued: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., batched: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drawn: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., encoded: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WorkEstimate(_message.Message):
    __slots__ = ("model", "model_digest", "count", "worker_count", "images_per_second", "work", "ahead", "expected")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_digest: str
    count: int
    worker_count: int
    images_per_second: float
    work: _duration_pb2.Duration
    ahead: _duration_pb2.Duration
    expected: _duration_pb2.Duration
    def __init__(self, model: _Optional[str] = ..., model_digest: _Optional[str] = ..., count: _Optional[int] = ..., worker_count: _Optional[int] = ..., images_per_second: _Optional[float] = ..., work: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ahead: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("count", "elapsed", "attempts")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    count: int
    elapsed: _duration_pb2.Duration
    attempts: int
    def __init__(self, count: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempts: _Optional[int] = ...) -> None: ...
