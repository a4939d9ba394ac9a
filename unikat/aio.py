"""A studio as coroutines: all that a client does. `unikat.client.Studio` is the same for blocking callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self, SupportsIndex, TypedDict, Unpack

from unikat.artwork import Artwork
from unikat.asking import ASK_AGAIN
from unikat.batch import Batch, BatchOptions, BatchState, Grid, Plan, Wish, create_request, list_request
from unikat.delivery import Delivery, Watching, only_artwork
from unikat.errors import InvalidRequest, bad_field
from unikat.estimate import Estimating
from unikat.link import Address, Link
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.sequence import Mutations, Walk
from unikat.request import RecipeLike, Where, generate_request, given_or_picked, number, sent_where, whole
from unikat.resuming import AsyncBatchWatch, AsyncGeneration
from unikat.v1 import batches_pb2 as pb
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GetModelRequest, ListModelsRequest

if TYPE_CHECKING:
    from unikat.operations import AsyncOperations


class DrawOptions(TypedDict, total=False):
    """Arguments of `generate` that every way to ask for images takes."""

    format: str
    credentials: str
    originality: str | None
    timeout: float | None
    request_id: str | None


class AsyncStudio(Estimating):
    """A connection to a service, used from one event loop at a time. It can be made before the loop runs.

    `target` is "host:port", by default $UNIKAT_TARGET, then localhost:50051. `tls` encrypts, trusting the system's
    authorities; `ca` is a PEM file with the ones to trust instead; `identity`, PEM files of a certificate and its
    key, and `token`, by default $UNIKAT_TOKEN, then what the file $UNIKAT_TOKEN_FILE holds, are for a service that
    asks who you are. `reconnect_timeout` is how many seconds a call keeps trying to reach the service without getting
    anything further. Raises OSError for a file that cannot be read, ValueError for a token that would be sent in
    plaintext to another machine.

    Every method raises the errors of `unikat.errors`.
    """

    _link_type: type[Link] = Link

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
        super().__init__(self._link_type(Address.of(target, tls, ca, identity).showing(token)), reconnect_timeout)

    @property
    def target(self) -> str:
        return self._link.address.target

    @property
    def operations(self) -> AsyncOperations:
        """What an operator steers the models and workers of a service by; needs the scope `admin`."""
        from unikat.operations import AsyncOperations  # who only draws needs none of its messages

        return AsyncOperations(self._link, self._reconnect_timeout)

    @property
    def link(self) -> Link:
        """The connection, for requests that are messages already."""
        return self._link

    async def models(self, *, timeout: float = 10.0) -> list[Model]:
        """The models that live workers serve, without their combinations; `timeout` is for each page, in seconds."""
        models: list[Model] = []
        request = ListModelsRequest()
        while True:
            page = await self._ask(self._link.studio.ListModels, request, timeout, ASK_AGAIN)
            models.extend(page.models)
            request.page_token = page.next_page_token
            if not request.page_token:
                return models

    async def model(self, name: str, *, timeout: float = 10.0) -> Model:
        """One model, by "name" (the newest version) or "name@version". Raises `unikat.errors.NotFound`."""
        return await self._ask(self._link.studio.GetModel, GetModelRequest(name=name), timeout, ASK_AGAIN)

    async def draw(
        self,
        model: str,
        where: Where | None = None,
        *,
        index: SupportsIndex = 0,
        seed: SupportsIndex | None = None,
        recipe: RecipeLike | None = None,
        walk: Walk | None = None,
        truncation: float | None = None,
        format: str = "png",
        background: str = "",
        credentials: str = "none",
        originality: str | None = None,
        attempt: SupportsIndex = 0,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Artwork:
        """Draw one image: the one at `index` of the seed, of the mutations, or of the walk.

        All else is as in `generate`; `accepted` is with it.

        Raises `unikat.errors.WrongState` with the reason NEAR_COPY or CONTENT for an image that is not delivered.
        """
        request = generate_request(
            model, where, count=1, first_index=whole("index", index), seed=seed, recipe=recipe, walk=walk,
            truncation=truncation, format=format, background=background, credentials=credentials,
            originality=originality, attempt=attempt, request_id=request_id,
        )  # fmt: skip
        artwork = await self._ask(self._link.studio.Draw, request, timeout, self._reconnect_timeout)
        return only_artwork(request, artwork)

    def generate(
        self,
        model: str,
        where: Where | None = None,
        *,
        count: SupportsIndex | None = None,
        first_index: SupportsIndex = 0,
        seed: SupportsIndex | None = None,
        recipe: RecipeLike | None = None,
        walk: Walk | None = None,
        truncation: float | None = None,
        format: str = "png",
        background: str = "",
        credentials: str = "none",
        originality: str | None = None,
        attempt: SupportsIndex = 0,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGeneration:
        """Draw `count` images of `model` (one, if left out); they are begun at once, and arrive by iterating.

        `where` says what to draw: `{"style": "noto", "category": {"animal": .7, "plant": .3}}`. An attribute that
        it leaves out is drawn for each image from the training distribution. `seed` (0 to 2**64 - 1) makes the
        images repeatable; left out, one is picked, and `accepted.seed` says which. The images are those of the seed
        from `first_index` on, so that any one can be drawn again alone.

        In place of a seed, `recipe` is a latent: a line such as "7:3*0.8,9:0*0.6,shift:2*1.5", which mixes image 3 of
        seed 7 and image 0 of seed 9 and moves the mix along the model's direction 2, or a `unikat.recipes.mix.Mix`; of
        either there is one image. `unikat.recipes.sequence.Mutations` of a mix has as many as are asked for. `walk`
        (`unikat.recipes.sequence.Walk`) is a way between latents, of which all frames from `first_index` on are drawn
        where `count` is left out.

        `truncation` is 0 to 2, by default the
        model's; `format` is "png", "webp" or "jpeg"; `credentials` are Content Credentials, which the service signs:
        "embedded" in the files, or "sidecar", apart from them in `Artwork.credentials`; `originality` is "warn"
        (`Artwork.originality` says how near a drawing is to a training picture) or "enforce" (near ones are drawn again
        with the next attempt, and refused after the eighth), where that is stricter than what the service does;
        `attempt` is what drawing begins with, 0 unless an artwork of a later attempt is to be drawn again; `timeout` is
        for the whole call, in seconds. Two calls with the same `request_id` share one job.

        Images that are not delivered are in `refused` of what is returned, and not among those that it yields.

        Raises `unikat.errors.InvalidRequest` for arguments that cannot be sent; all else is raised by iterating:
        `unikat.errors.WrongState` for credentials that the service has no key for.
        """
        request = generate_request(
            model, where, count=count, first_index=first_index, seed=seed, recipe=recipe, walk=walk,
            truncation=truncation, format=format, background=background, credentials=credentials,
            originality=originality, attempt=attempt, request_id=request_id,
        )  # fmt: skip
        return AsyncGeneration(self._link, Delivery(request, timeout, self._reconnect_timeout))

    def vary(
        self,
        work: ArtworkRecipe,
        radius: float = 0.3,
        *,
        count: SupportsIndex = 16,
        seed: SupportsIndex | None = None,
        **options: Unpack[DrawOptions],
    ) -> AsyncGeneration:
        """Draw `count` variations of a work: `Artwork.recipe`, or what `unikat.recipes.artwork.parse_link` reads.

        `radius` is how far they are from it, 0 (the work itself) to 1 (strangers with its conditions); `seed` makes
        them repeatable. Options and errors are those of `generate`.
        """
        mutations = Mutations(work.mix, number("recipe.mutation.radius", radius), given_or_picked(seed))
        return self._of_work(work, mutations, count, options)

    def cross(
        self, work: ArtworkRecipe, other: ArtworkRecipe, share: float = 0.5, **options: Unpack[DrawOptions]
    ) -> AsyncGeneration:
        """Draw what lies at `share` of the way from one work to the other; conditions that differ are blended.

        Options and errors are those of `generate`. Raises `unikat.errors.InvalidRequest` for works of two models and
        for a share outside 0 to 1.
        """
        if not 0 <= number("share", share) <= 1:
            raise InvalidRequest(bad_field("share", f"must be 0 to 1, not {share}"))
        try:
            child = work.crossed(other, share)
        except ValueError as error:
            raise InvalidRequest(bad_field("other", str(error))) from error
        return self._of_work(child, child.mix, 1, options)

    def _of_work(
        self, work: ArtworkRecipe, recipe: RecipeLike, count: SupportsIndex, options: DrawOptions
    ) -> AsyncGeneration:
        return self.generate(
            work.model, sent_where(work.where), count=count, recipe=recipe, truncation=work.truncation,
            background=work.background, attempt=work.attempt, **options,
        )  # fmt: skip

    async def create_batch(
        self,
        model: str,
        *,
        to: str | PathLike[str],
        plans: Iterable[Plan] | None = None,
        grid: Grid | None = None,
        where: Where | None = None,
        count: SupportsIndex | None = None,
        timeout: float = 60.0,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """Queue a batch that draws into the folder `to`: an absolute path on the workers' machine, or a URL.

        What to draw is one of three. `grid={"style": "*", "category": ["face", "heart"]}`: `count` images of every
        combination, "*" being all categories, the last attribute varying fastest. `plans=[Plan({"style": "noto"}, 100),
        ...]`: one after the other, each with a count of its own. Neither: `count` images. `where` is what all have in
        common; an attribute that is left out is drawn for each image from the training distribution.

        Options: `seed`, `truncation` and `format` as in `generate`; `layout` is "files" or "webdataset"; the files
        are encrypted with the workers' storage key whose id is `encryption_key`; `originality` is as in `generate`;
        `credentials` is "none" or "sidecar": the workers sign, into a tar file a shard;
        batches of several `owner`s take turns; `labels` are for your own use; `shard_size` is the number of images in
        a unit of work. With a
        `request_id`, a second call with the same content returns the same batch. One is picked where none is given,
        and a call that loses its service is sent again for up to `reconnect_timeout` seconds: there is one
        batch in the end. `timeout` is for each try, in seconds.

        Raises `unikat.errors.InvalidRequest` for a field that is wrong.
        """
        request = create_request(model, Wish(plans, grid, where, count), to, **options)
        method, again = self._link.batches.CreateBatch, self._reconnect_timeout
        return Batch.of(await self._ask(method, request, timeout, again, each_try=True))

    async def batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """One batch. Raises `unikat.errors.NotFound`."""
        return Batch.of(await self._ask(self._link.batches.GetBatch, pb.GetBatchRequest(id=id), timeout, ASK_AGAIN))

    def batches(
        self, *, states: Iterable[BatchState | str] = (), owner: str = "", timeout: float = 10.0
    ) -> AsyncIterator[Batch]:
        """All batches, or those in one of `states` and of one owner, newest first, without their plans.

        Pages are fetched as they are needed; `timeout` is for each. Raises ValueError for a state that there is not.
        """
        return self._pages(list_request(states, owner), timeout)

    async def _pages(self, request: pb.ListBatchesRequest, timeout: float) -> AsyncIterator[Batch]:
        while True:
            page = await self._ask(self._link.batches.ListBatches, request, timeout, ASK_AGAIN)
            for message in page.batches:
                yield Batch.of(message)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Call a batch off. What was written stays, and gets its manifest by the time the batch has `ended`.

        Raises `unikat.errors.WrongState` for one that has ended otherwise.
        """
        request = pb.CancelBatchRequest(id=id)
        return Batch.of(await self._ask(self._link.batches.CancelBatch, request, timeout, ASK_AGAIN))

    async def retry_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Draw again what failed. Raises `unikat.errors.WrongState` unless the batch is FAILED."""
        return Batch.of(await self._ask(self._link.batches.RetryBatch, pb.RetryBatchRequest(id=id), timeout))

    async def delete_batch(self, id: str, *, timeout: float = 10.0) -> None:
        """Forget a batch that has ended; its files stay.

        Raises `unikat.errors.WrongState` for one that has not.
        """
        await self._ask(self._link.batches.DeleteBatch, pb.DeleteBatchRequest(id=id), timeout)

    def watch_batch(self, id: str, *, timeout: float | None = None) -> AsyncBatchWatch:
        """The batch as it is, then at every change, until it has ended. It reconnects by itself.

        Changes within a fraction of a second come as one. `timeout` is for all of it, in seconds; what is wrong is
        raised by iterating.
        """
        return AsyncBatchWatch(self._link, Watching(id, timeout, self._reconnect_timeout))

    async def close(self) -> None:
        """End every call and the connection."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
