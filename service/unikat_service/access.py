"""Which scopes open which method. What is not in the table is open to nobody."""

from __future__ import annotations

from typing import Final

from unikat.credentials import SCOPES as ALL

GENERATE, BATCH, CLAIM, ADMIN = ALL

OPEN: Final[frozenset[str]] = frozenset()  # also to callers who show nothing
ANY: Final = frozenset(ALL)

_GENERATE: Final = frozenset({GENERATE, ADMIN})
_BATCH: Final = frozenset({BATCH, ADMIN})
_ADMIN: Final = frozenset({ADMIN})

_SERVICES: Final[dict[str, dict[str, frozenset[str]]]] = {
    "unikat.v1.Studio": {
        "ListModels": ANY, "GetModel": ANY, "Generate": _GENERATE, "Draw": _GENERATE, "EstimateWork": _GENERATE,
    },
    "unikat.v1.Batches": dict.fromkeys(
        (
            "CreateBatch", "EstimateBatch", "GetBatch", "ListBatches", "WatchBatch", "CancelBatch", "RetryBatch",
            "DeleteBatch",
        ),
        _BATCH,
    ),
    "unikat.v1.Operations": dict.fromkeys(
        (
            "LoadModel", "UnloadModel", "PinModel", "UnpinModel", "DrainWorker", "GetControl", "ListChanges",
        ),
        _ADMIN,
    ),
    "inference.GRPCInferenceService": {
        **dict.fromkeys(
            (
                "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig",
                "RepositoryIndex",
            ),
            ANY,
        ),
        "ModelInfer": _GENERATE,
    },
    # Load balancers and container engines have no token; they learn whether this process serves.
    "grpc.health.v1.Health": {"Check": OPEN, "Watch": ANY, "List": ANY},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANY},
    "grpc.channelz.v1.Channelz": dict.fromkeys(
        (
            "GetTopChannels", "GetServers", "GetServer", "GetServerSockets", "GetChannel", "GetSubchannel",
            "GetSocket",
        ),
        _ADMIN,
    ),
}  # fmt: skip

# One of these scopes opens the method "/package.Service/Method".
SCOPES: Final[dict[str, frozenset[str]]] = {
    f"/{service}/{method}": scopes for service, methods in _SERVICES.items() for method, scopes in methods.items()
}
