import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from unikat.v1 import studio_pb2 as _studio_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_UNSPECIFIED: _ClassVar[Layout]
    LAYOUT_FILES: _ClassVar[Layout]
    LAYOUT_WEBDATASET: _ClassVar[Layout]
LAYOUT_UNSPECIFIED: Layout
LAYOUT_FILES: Layout
LAYOUT_WEBDATASET: Layout

class CreateBatchRequest(_message.Message):
    __slots__ = ("model", "plans", "grid", "seed", "truncation", "format", "destination", "layout", "owner", "labels", "request_id", "shard_size", "background", "encryption_key", "originality", "credentials")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_SIZE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTION_KEY_FIELD_NUMBER: _ClassVar[int]
    ORIGINALITY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    model: str
    plans: _containers.RepeatedCompositeFieldContainer[Plan]
    grid: Grid
    seed: int
    truncation: float
    format: _studio_pb2.ImageFormat
    destination: str
    layout: Layout
    owner: str
    labels: _containers.ScalarMap[str, str]
    request_id: str
    shard_size: int
    background: str
    encryption_key: str
    originality: _studio_pb2.OriginalityMode
    credentials: _studio_pb2.Credentials
    def __init__(self, model: _Optional[str] = ..., plans: _Optional[_Iterable[_Union[Plan, _Mapping]]] = ..., grid: _Optional[_Union[Grid, _Mapping]] = ..., seed: _Optional[int] = ..., truncation: _Optional[float] = ..., format: _Optional[_Union[_studio_pb2.ImageFormat, str]] = ..., destination: _Optional[str] = ..., layout: _Optional[_Union[Layout, str]] = ..., owner: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., shard_size: _Optional[int] = ..., background: _Optional[str] = ..., encryption_key: _Optional[str] = ..., originality: _Optional[_Union[_studio_pb2.OriginalityMode, str]] = ..., credentials: _Optional[_Union[_studio_pb2.Credentials, str]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("conditions", "count", "recipe", "walk")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    WALK_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[_studio_pb2.Condition]
    count: int
    recipe: _studio_pb2.Recipe
    walk: _studio_pb2.Walk
    def __init__(self, conditions: _Optional[_Iterable[_Union[_studio_pb2.Condition, _Mapping]]] = ..., count: _Optional[int] = ..., recipe: _Optional[_Union[_studio_pb2.Recipe, _Mapping]] = ..., walk: _Optional[_Union[_studio_pb2.Walk, _Mapping]] = ...) -> None: ...

class Grid(_message.Message):
    __slots__ = ("axes", "count", "conditions")
    AXES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    axes: _containers.RepeatedCompositeFieldContainer[Axis]
    count: int
    conditions: _containers.RepeatedCompositeFieldContainer[_studio_pb2.Condition]
    def __init__(self, axes: _Optional[_Iterable[_Union[Axis, _Mapping]]] = ..., count: _Optional[int] = ..., conditions: _Optional[_Iterable[_Union[_studio_pb2.Condition, _Mapping]]] = ...) -> None: ...

class Axis(_message.Message):
    __slots__ = ("attribute", "categories")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, attribute: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "state", "model", "model_digest", "seed", "truncation", "format", "layout", "destination", "shard_size", "shard_count", "owner", "labels", "plans", "total_count", "drawn_count", "failed_count", "images_per_second", "remaining", "pause", "failures", "create_time", "start_time", "end_time", "manifest", "revision", "background", "encryption_key", "refused_count", "originality", "credentials")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Batch.State]
        STATE_QUEUED: _ClassVar[Batch.State]
        STATE_RUNNING: _ClassVar[Batch.State]
        STATE_SUCCEEDED: _ClassVar[Batch.State]
        STATE_FAILED: _ClassVar[Batch.State]
        STATE_CANCELLED: _ClassVar[Batch.State]
    STATE_UNSPECIFIED: Batch.State
    STATE_QUEUED: Batch.State
    STATE_RUNNING: Batch.State
    STATE_SUCCEEDED: Batch.State
    STATE_FAILED: Batch.State
    STATE_CANCELLED: Batch.State
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    SHARD_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTION_KEY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ORIGINALITY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: Batch.State
    model: str
    model_digest: str
    seed: int
    truncation: float
    format: _studio_pb2.ImageFormat
    layout: Layout
    destination: str
    shard_size: int
    shard_count: int
    owner: str
    labels: _containers.ScalarMap[str, str]
    plans: _containers.RepeatedCompositeFieldContainer[Plan]
    total_count: int
    drawn_count: int
    failed_count: int
    images_per_second: float
    remaining: _duration_pb2.Duration
    pause: Pause
    failures: _containers.RepeatedCompositeFieldContainer[ShardFailure]
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    manifest: str
    revision: int
    background: str
    encryption_key: str
    refused_count: int
    originality: _studio_pb2.OriginalityMode
    credentials: _studio_pb2.Credentials
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[Batch.State, str]] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., seed: _Optional[int] = ..., truncation: _Optional[float] = ..., format: _Optional[_Union[_studio_pb2.ImageFormat, str]] = ..., layout: _Optional[_Union[Layout, str]] = ..., destination: _Optional[str] = ..., shard_size: _Optional[int] = ..., shard_count: _Optional[int] = ..., owner: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., plans: _Optional[_Iterable[_Union[Plan, _Mapping]]] = ..., total_count: _Optional[int] = ..., drawn_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., images_per_second: _Optional[float] = ..., remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[ShardFailure, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., manifest: _Optional[str] = ..., revision: _Optional[int] = ..., background: _Optional[str] = ..., encryption_key: _Optional[str] = ..., refused_count: _Optional[int] = ..., originality: _Optional[_Union[_studio_pb2.OriginalityMode, str]] = ..., credentials: _Optional[_Union[_studio_pb2.Credentials, str]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("reason", "since")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShardFailure(_message.Message):
    __slots__ = ("shard", "first_index", "count", "message")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    first_index: int
    count: int
    message: str
    def __init__(self, shard: _Optional[int] = ..., first_index: _Optional[int] = ..., count: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "owner")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[Batch.State]
    owner: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[Batch.State, str]]] = ..., owner: _Optional[str] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    next_page_token: str
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelBatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RetryBatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteBatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchBatchRequest(_message.Message):
    __slots__ = ("id", "after_revision")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    id: str
    after_revision: int
    def __init__(self, id: _Optional[str] = ..., after_revision: _Optional[int] = ...) -> None: ...
