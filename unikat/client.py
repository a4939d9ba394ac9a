"""The client: a studio draws to order, and its images come as they are made."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from unikat.aio import AsyncStudio
from unikat.link import BlockingLink, run
from unikat.resuming import BatchWatch, Generation

if TYPE_CHECKING:
    from unikat.operations import Operations

Given = ParamSpec("Given")
Found = TypeVar("Found")
Result = TypeVar("Result")
T = TypeVar("T")


class _Calls(AsyncStudio):
    """Coroutines that block where they would suspend."""

    _link_type = BlockingLink


def _each(items: AsyncIterator[T]) -> Iterator[T]:
    while True:
        try:
            yield run(anext(items))
        except StopAsyncIteration:
            return


def _by(
    then: Callable[[Found], Result], method: Callable[Concatenate[AsyncStudio, Given], Found]
) -> Callable[Concatenate[Studio, Given], Result]:
    """The method of `Studio` that does the same as one of `AsyncStudio`, by `then` on what that returns."""

    @wraps(method)
    def call(studio: Studio, /, *given: Given.args, **named: Given.kwargs) -> Result:
        return then(method(studio._calls, *given, **named))

    call.__qualname__ = f"Studio.{method.__name__}"
    # Without the type that it returns, which is another one.
    vars(call)["__signature__"] = inspect.signature(method).replace(return_annotation=inspect.Signature.empty)
    return call


class Studio:
    """A connection to a service; it can be shared by threads.

    `target` is "host:port", by default $UNIKAT_TARGET, then localhost:50051. `tls` encrypts, trusting the system's
    authorities; `ca` is a PEM file with the ones to trust instead; `identity`, PEM files of a certificate and its
    key, and `token`, by default $UNIKAT_TOKEN, then what the file $UNIKAT_TOKEN_FILE holds, are for a service that
    asks who you are. `reconnect_timeout` is how many seconds a call keeps trying to reach the service without getting
    anything further. Raises OSError for a file that cannot be read, ValueError for a token that would be sent in
    plaintext to another machine.

    Methods, their arguments and errors are those of `unikat.aio.AsyncStudio`, without `await`.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        tls: bool = False,
        ca: str | Path | None = None,
        identity: tuple[str | Path, str | Path] | None = None,
        token: str | None = None,
        reconnect_timeout: float = 60.0,
    ) -> None:
        self._calls = _Calls(
            target, tls=tls, ca=ca, identity=identity, token=token, reconnect_timeout=reconnect_timeout
        )

    @property
    def target(self) -> str:
        return self._calls.target

    @property
    def operations(self) -> Operations:
        """What an operator steers the models and workers of a service by; needs the scope `admin`."""
        from unikat.operations import Operations  # who only draws needs none of its messages

        return Operations(self._calls.operations)

    models = _by(run, AsyncStudio.models)
    model = _by(run, AsyncStudio.model)
    draw = _by(run, AsyncStudio.draw)
    generate = _by(Generation, AsyncStudio.generate)
    vary = _by(Generation, AsyncStudio.vary)
    cross = _by(Generation, AsyncStudio.cross)
    estimate = _by(run, AsyncStudio.estimate)
    create_batch = _by(run, AsyncStudio.create_batch)
    estimate_batch = _by(run, AsyncStudio.estimate_batch)
    batch = _by(run, AsyncStudio.batch)
    batches = _by(_each, AsyncStudio.batches)
    cancel_batch = _by(run, AsyncStudio.cancel_batch)
    retry_batch = _by(run, AsyncStudio.retry_batch)
    delete_batch = _by(run, AsyncStudio.delete_batch)
    watch_batch = _by(BatchWatch, AsyncStudio.watch_batch)
    close = _by(run, AsyncStudio.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
