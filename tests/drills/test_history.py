"""The history checker finds every violation that is planted in a good history, wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drills.checker import Broken, violations
from tests.drills.history import Accepted, Asked, Ended, Event, Fault, How, Image, Seen, What

RECIPES: Final = ("sea", "hill", "ink")
LONGEST: Final = 12
quick = settings(max_examples=40, deadline=None)
DRAWINGS: Final = {
    (f"tiny@{version}", recipe): {
        i: Image(i, f"id {version} {recipe} {i}", f"bytes {version} {recipe} {i}") for i in range(2 * LONGEST)
    }
    for version in (1, 2)
    for recipe in RECIPES
}


@dataclass(frozen=True)
class Story:
    """A good history, and a call in it of which every image was delivered."""

    events: list[Event]
    call: str
    others: tuple[str, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Calls of every kind, their events interleaved at random."""
    count = draw(st.integers(2, 6))
    scripts = {"call 0": draw(_calls(finished=True, number=0))}
    scripts |= {f"call {n}": draw(_calls(finished=draw(st.booleans()), number=n)) for n in range(1, count)}
    order = draw(st.permutations([name for name, script in scripts.items() for _ in script]))
    queues = {name: iter(script) for name, script in scripts.items()}
    events = [Event(float(at), name, next(queues[name])) for at, name in enumerate(order)]
    return Story(events, "call 0", tuple(scripts)[1:])


@st.composite
def _calls(draw: st.DrawFn, finished: bool, number: int) -> list[What]:
    recipe, model = draw(st.sampled_from(RECIPES)), draw(st.sampled_from(("tiny@1", "tiny@2")))
    first, count = draw(st.integers(0, LONGEST)), draw(st.integers(2, LONGEST))
    is_batch, request_id = draw(st.booleans()), draw(st.sampled_from(("", f"r{number}")))
    asked = Asked(recipe, first, count, request_id, is_batch)
    images: list[What] = [DRAWINGS[model, recipe][i] for i in range(first, first + count)]
    seen: list[What] = [Seen(5), Seen(6)] if is_batch else []
    begun: list[What] = [asked, Accepted(model, 7, f"job {number}"), *seen]
    if finished:
        return [*begun, *images, Ended(How.FINISHED)]
    if draw(st.booleans()):
        return [*begun, *images[: draw(st.integers(0, count - 1))], Ended(How.CANCELLED)]
    return [asked, Ended(How.REFUSED, "the queue is full")]


def at(story: Story, kind: type[What]) -> list[int]:
    """Where the events of a kind of the story's call are."""
    return [n for n, event in enumerate(story.events) if event.call == story.call and isinstance(event.what, kind)]


def image_at(story: Story, where: int) -> tuple[int, Image]:
    """One of the call's images, and where it is."""
    places = at(story, Image)
    place = places[where % len(places)]
    what = story.events[place].what
    assert isinstance(what, Image)
    return place, what


def put(events: list[Event], where: int, what: What) -> list[Event]:
    """The events with another one in a place."""
    return [*events[:where], replace(events[where], what=what), *events[where + 1 :]]


def drop_an_image(story: Story, where: int) -> list[Event]:
    place, _ = image_at(story, where)
    return story.events[:place] + story.events[place + 1 :]


def drop_the_last_images(story: Story, where: int) -> list[Event]:
    places = at(story, Image)
    gone = set(places[where % len(places) :])
    return [event for n, event in enumerate(story.events) if n not in gone]


def double_an_image(story: Story, where: int) -> list[Event]:
    place, _ = image_at(story, where)
    return [*story.events[: place + 1], *story.events[place:]]


def swap_two_images(story: Story, where: int) -> list[Event]:
    places = at(story, Image)
    n = where % (len(places) - 1)
    one, other = places[n], places[n + 1]
    return put(put(story.events, one, story.events[other].what), other, story.events[one].what)


def change_bytes(story: Story, where: int) -> list[Event]:
    place, image = image_at(story, where)
    return put(story.events, place, replace(image, digest="bytes of nobody"))


def change_an_id(story: Story, where: int) -> list[Event]:
    place, image = image_at(story, where)
    return put(story.events, place, replace(image, id="id of nobody"))


def take_bytes_of_another_recipe(story: Story, where: int) -> list[Event]:
    place, image = image_at(story, where)
    mine = next(key for key, images in DRAWINGS.items() if image in images.values())
    foreign = next(images[image.index] for key, images in DRAWINGS.items() if key != mine)
    return put(story.events, place, foreign)


def give_an_image_to_another_call(story: Story, where: int) -> list[Event]:
    place, _ = image_at(story, where)
    to = story.others[where % len(story.others)]
    return [*story.events[:place], replace(story.events[place], call=to), *story.events[place + 1 :]]


def end_twice(story: Story, where: int) -> list[Event]:
    (place,) = at(story, Ended)
    later = place + where % (len(story.events) - place)
    return [*story.events[: later + 1], story.events[place], *story.events[later + 1 :]]


def never_end(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Ended)
    return story.events[:place] + story.events[place + 1 :]


def end_before_the_last_image(story: Story, where: int) -> list[Event]:
    (end,) = at(story, Ended)
    place, _ = image_at(story, where)
    moved = story.events[:end] + story.events[end + 1 :]
    return [*moved[:place], story.events[end], *moved[place:]]


def fail_after_the_acknowledgement(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Ended)
    return put(story.events, place, Ended(How.FAILED, "INTERNAL"))


def cut_off_although_nothing_was_broken(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Ended)
    return put(story.events, place, Ended(How.CUT, "UNAVAILABLE"))


def take_the_acknowledgement_back(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Accepted)
    return story.events[:place] + story.events[place + 1 :]


def nobody_asked(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Asked)
    return story.events[:place] + story.events[place + 1 :]


def draw_with_another_seed_for_the_same_request_id(story: Story, _: int) -> list[Event]:
    (place,) = at(story, Asked)
    asked = story.events[place].what
    assert isinstance(asked, Asked)
    events = put(story.events, place, replace(asked, request_id="r0"))
    again = (Asked(asked.recipe, 0, 1, "r0"), Accepted("tiny@1", 8, "job 99"), Ended(How.CANCELLED))
    return events + [Event(1e6, "again", what) for what in again]


def show_an_old_revision(story: Story, where: int) -> list[Event]:
    (place,) = at(story, Accepted)
    revisions = [Event(story.events[place].at, story.call, Seen(9 - where % 2 * step)) for step in (0, 4)]
    return [*story.events[: place + 1], *revisions, *story.events[place + 1 :]]


PLANTED: Final[dict[Callable[[Story, int], list[Event]], set[Broken]]] = {
    drop_an_image: {Broken.LOST},
    drop_the_last_images: {Broken.LOST},
    double_an_image: {Broken.DOUBLED},
    swap_two_images: {Broken.LOST, Broken.REORDERED},
    change_bytes: {Broken.BYTES},
    change_an_id: {Broken.BYTES},
    take_bytes_of_another_recipe: {Broken.CROSSED},
    give_an_image_to_another_call: {Broken.LOST},
    end_twice: {Broken.ENDS},
    never_end: {Broken.ENDLESS},
    end_before_the_last_image: {Broken.LATE},
    fail_after_the_acknowledgement: {Broken.LOST},
    cut_off_although_nothing_was_broken: {Broken.CUT},
    take_the_acknowledgement_back: {Broken.UNACCEPTED},
    nobody_asked: {Broken.UNASKED},
    draw_with_another_seed_for_the_same_request_id: {Broken.ACCEPTED},
    show_an_old_revision: {Broken.REVISION},
}


@quick
@given(stories())
def test_a_good_history_breaks_no_promise(story: Story) -> None:
    assert violations(story.events, DRAWINGS) == []


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@quick
@given(story=stories(), where=st.integers(0, 1000))
def test_a_planted_violation_is_found(plant: Callable[[Story, int], list[Event]], story: Story, where: int) -> None:
    found = violations(plant(story, where), DRAWINGS)
    assert {violation.broken for violation in found} >= PLANTED[plant]
    assert any(violation.call in (story.call, "again") for violation in found)


def test_what_redis_forgot_with_its_acknowledgement_was_not_promised() -> None:
    asked, accepted = Asked("sea", 0, 2, "r", is_batch=True), Accepted("tiny@1", 7, "batch")
    events = [
        Event(1.0, "call", asked),
        Event(3.0, "call", accepted),
        Event(4.0, "", Fault("an older dump", since=2.0, forgets=True)),
        Event(5.0, "call", Ended(How.FAILED, "NOT_FOUND")),
    ]
    assert violations(events, DRAWINGS) == []
    events[2] = Event(4.0, "", Fault("an older dump", since=3.5, forgets=True))
    assert [violation.broken for violation in violations(events, DRAWINGS)] == [Broken.LOST]


def test_a_call_without_a_request_id_may_be_cut_off_by_a_fault_and_no_other() -> None:
    cut = [
        Event(1.0, "call", Asked("sea", 0, 2)),
        Event(2.0, "call", Accepted("tiny@1", 7, "job")),
        Event(3.0, "call", Ended(How.CUT, "UNAVAILABLE")),
    ]
    fault = Event(2.6, "", Fault("a killed service", since=2.5))
    assert violations([*cut, fault], DRAWINGS) == []
    resumable = [replace(cut[0], what=Asked("sea", 0, 2, "r")), *cut[1:], fault]
    assert [violation.broken for violation in violations(resumable, DRAWINGS)] == [Broken.LOST]


def test_a_request_id_that_redis_forgot_may_be_drawn_by_a_newer_version() -> None:
    asked = Asked("sea", 0, 1, "r")
    events = [
        Event(at, call, what)
        for call, at, model in (("one", 1.0, "tiny@1"), ("other", 3.0, "tiny@2"))
        for what in (asked, Accepted(model, 7, "job"), DRAWINGS[model, "sea"][0], Ended(How.FINISHED))
    ]
    forgotten = Event(2.0, "", Fault("an older dump", since=0.5, forgets=True))
    assert [violation.broken for violation in violations(events, DRAWINGS)] == [Broken.ACCEPTED]
    assert violations([*events, forgotten], DRAWINGS) == []
