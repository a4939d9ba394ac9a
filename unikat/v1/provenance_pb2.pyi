import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from unikat.v1 import studio_pb2 as _studio_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_WORK: _ClassVar[Verdict]
    VERDICT_CHANGED_WORK: _ClassVar[Verdict]
    VERDICT_RESEMBLES_WORK: _ClassVar[Verdict]
    VERDICT_UNCLAIMED: _ClassVar[Verdict]
    VERDICT_UNCONFIRMED: _ClassVar[Verdict]
    VERDICT_CONTRADICTION: _ClassVar[Verdict]
    VERDICT_NOTHING: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_WORK: Verdict
VERDICT_CHANGED_WORK: Verdict
VERDICT_RESEMBLES_WORK: Verdict
VERDICT_UNCLAIMED: Verdict
VERDICT_UNCONFIRMED: Verdict
VERDICT_CONTRADICTION: Verdict
VERDICT_NOTHING: Verdict

class ArtworkRecipe(_message.Message):
    __slots__ = ("model", "model_digest", "seed", "index", "conditions", "truncation", "background", "attempt", "recipe")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_digest: str
    seed: int
    index: int
    conditions: _containers.RepeatedCompositeFieldContainer[_studio_pb2.Condition]
    truncation: float
    background: str
    attempt: int
    recipe: _studio_pb2.Recipe
    def __init__(self, model: _Optional[str] = ..., model_digest: _Optional[str] = ..., seed: _Optional[int] = ..., index: _Optional[int] = ..., conditions: _Optional[_Iterable[_Union[_studio_pb2.Condition, _Mapping]]] = ..., truncation: _Optional[float] = ..., background: _Optional[str] = ..., attempt: _Optional[int] = ..., recipe: _Optional[_Union[_studio_pb2.Recipe, _Mapping]] = ...) -> None: ...

class ClaimArtworkRequest(_message.Message):
    __slots__ = ("recipe", "title", "creator", "owner", "owner_key", "picture")
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNER_KEY_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    recipe: ArtworkRecipe
    title: str
    creator: str
    owner: str
    owner_key: bytes
    picture: bytes
    def __init__(self, recipe: _Optional[_Union[ArtworkRecipe, _Mapping]] = ..., title: _Optional[str] = ..., creator: _Optional[str] = ..., owner: _Optional[str] = ..., owner_key: _Optional[bytes] = ..., picture: _Optional[bytes] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("id", "digest", "entry", "title", "creator", "owner", "owner_key", "claim_time", "model", "transfers")
    ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNER_KEY_FIELD_NUMBER: _ClassVar[int]
    CLAIM_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    digest: bytes
    entry: int
    title: str
    creator: str
    owner: str
    owner_key: bytes
    claim_time: _timestamp_pb2.Timestamp
    model: str
    transfers: int
    def __init__(self, id: _Optional[str] = ..., digest: _Optional[bytes] = ..., entry: _Optional[int] = ..., title: _Optional[str] = ..., creator: _Optional[str] = ..., owner: _Optional[str] = ..., owner_key: _Optional[bytes] = ..., claim_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model: _Optional[str] = ..., transfers: _Optional[int] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("work", "document", "image")
    WORK_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    work: Work
    document: bytes
    image: bytes
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ..., document: _Optional[bytes] = ..., image: _Optional[bytes] = ...) -> None: ...

class GetCertificateRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class VerifyArtworkRequest(_message.Message):
    __slots__ = ("picture", "credentials", "skip_redraw")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    SKIP_REDRAW_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    credentials: bytes
    skip_redraw: bool
    def __init__(self, picture: _Optional[bytes] = ..., credentials: _Optional[bytes] = ..., skip_redraw: _Optional[bool] = ...) -> None: ...

class VerifyArtworkResponse(_message.Message):
    __slots__ = ("verdict", "summary", "stated_digest", "credentials", "mark", "neighbours", "certificate", "redraw")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    STATED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    REDRAW_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    summary: str
    stated_digest: bytes
    credentials: CredentialsState
    mark: MarkFound
    neighbours: _containers.RepeatedCompositeFieldContainer[Neighbour]
    certificate: Certificate
    redraw: Redraw
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., summary: _Optional[str] = ..., stated_digest: _Optional[bytes] = ..., credentials: _Optional[_Union[CredentialsState, _Mapping]] = ..., mark: _Optional[_Union[MarkFound, _Mapping]] = ..., neighbours: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ..., redraw: _Optional[_Union[Redraw, _Mapping]] = ...) -> None: ...

class CredentialsState(_message.Message):
    __slots__ = ("state", "trusted", "signer", "failures")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    state: str
    trusted: bool
    signer: str
    failures: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, state: _Optional[str] = ..., trusted: _Optional[bool] = ..., signer: _Optional[str] = ..., failures: _Optional[_Iterable[str]] = ...) -> None: ...

class MarkFound(_message.Message):
    __slots__ = ("found", "key", "payload", "chance")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CHANCE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    key: str
    payload: bytes
    chance: float
    def __init__(self, found: _Optional[bool] = ..., key: _Optional[str] = ..., payload: _Optional[bytes] = ..., chance: _Optional[float] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("work", "hash_distance", "colour_distance", "mirrored", "near_copy")
    WORK_FIELD_NUMBER: _ClassVar[int]
    HASH_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    COLOUR_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    MIRRORED_FIELD_NUMBER: _ClassVar[int]
    NEAR_COPY_FIELD_NUMBER: _ClassVar[int]
    work: Work
    hash_distance: int
    colour_distance: float
    mirrored: bool
    near_copy: bool
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ..., hash_distance: _Optional[int] = ..., colour_distance: _Optional[float] = ..., mirrored: _Optional[bool] = ..., near_copy: _Optional[bool] = ...) -> None: ...

class RedrawArtworkRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Redraw(_message.Message):
    __slots__ = ("same_file", "same_drawing", "same_pixels", "max_difference", "changed", "reason", "drawn_by", "drawn_again_by")
    SAME_FILE_FIELD_NUMBER: _ClassVar[int]
    SAME_DRAWING_FIELD_NUMBER: _ClassVar[int]
    SAME_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRAWN_BY_FIELD_NUMBER: _ClassVar[int]
    DRAWN_AGAIN_BY_FIELD_NUMBER: _ClassVar[int]
    same_file: bool
    same_drawing: bool
    same_pixels: bool
    max_difference: int
    changed: float
    reason: str
    drawn_by: _studio_pb2.Renderer
    drawn_again_by: _studio_pb2.Renderer
    def __init__(self, same_file: _Optional[bool] = ..., same_drawing: _Optional[bool] = ..., same_pixels: _Optional[bool] = ..., max_difference: _Optional[int] = ..., changed: _Optional[float] = ..., reason: _Optional[str] = ..., drawn_by: _Optional[_Union[_studio_pb2.Renderer, _Mapping]] = ..., drawn_again_by: _Optional[_Union[_studio_pb2.Renderer, _Mapping]] = ...) -> None: ...

class TransferArtworkRequest(_message.Message):
    __slots__ = ("id", "new_owner", "new_owner_key", "signature")
    ID_FIELD_NUMBER: _ClassVar[int]
    NEW_OWNER_FIELD_NUMBER: _ClassVar[int]
    NEW_OWNER_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    id: str
    new_owner: str
    new_owner_key: bytes
    signature: bytes
    def __init__(self, id: _Optional[str] = ..., new_owner: _Optional[str] = ..., new_owner_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ListArtworksRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "owner_key")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OWNER_KEY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    owner_key: bytes
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., owner_key: _Optional[bytes] = ...) -> None: ...

class ListArtworksResponse(_message.Message):
    __slots__ = ("works", "next_page_token")
    WORKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    works: _containers.RepeatedCompositeFieldContainer[Work]
    next_page_token: str
    def __init__(self, works: _Optional[_Iterable[_Union[Work, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
