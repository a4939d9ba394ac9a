"""Works that come of others, as programs see them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from urllib.parse import quote

import pytest
from PIL import Image

from tests.gallery.site import Site, Visitor

WORK = "model=tiny@1&seed=7&index=3&c.style=ink&c.subject=sea"


@pytest.fixture(scope="module")
def visitor(site: Site) -> Visitor:
    return Visitor(site).enter()


def test_variations_are_works_of_their_own_and_a_stream_of_them_goes_on(visitor: Visitor) -> None:
    path = f"/api/vary?{WORK}&radius=0.3&by=5&count=4"
    events = visitor.events(path)
    works = [data for name, _, data in events if name == "work"]
    assert len({work["id"] for work in works}) == 4
    assert all("recipe=5:" in work["link"] and "7:3*0.95" in work["link"] for work in works)
    again = visitor.json("GET", f"/api/work?{works[2]['link']}")
    assert again["id"] == works[2]["id"]
    visitor.json("POST", "/api/favourites", {"id": again["id"], "link": again["link"]})
    rest = visitor.events(path, {"Last-Event-ID": "2"})
    assert [(name, id) for name, id, _ in rest] == [("accepted", ""), ("work", "3"), ("finished", "")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("radius=0&by=5", "radius"),
        ("radius=near&by=5", "radius"),
        ("radius=0.3&by=-5", "by"),
        ("radius=0.3", "by"),
        ("radius=0.3&by=5&count=49", "count"),
        ("radius=0.3&by=5&recipe=seven", "recipe"),
    ],
)
def test_what_is_wrong_with_variations_is_said(visitor: Visitor, query: str, field: str) -> None:
    ((name, _, said),) = visitor.events(f"/api/vary?{WORK}&{query}")
    assert (name, list(said["fields"])) == ("problem", [field])


def test_a_cross_lies_between_two_works_and_is_a_work_like_any_other(visitor: Visitor) -> None:
    other = "model=tiny@1&seed=9&index=0&c.style=oil&c.subject=sea"
    child = visitor.json("GET", f"/api/cross?one={quote(WORK)}&other={quote(other)}&share=0.5")
    assert "recipe=7:3*0.70710677,9:0*0.70710677" in child["link"]
    assert "c.style=ink:0.5,oil:0.5&c.subject=sea" in child["link"]
    assert visitor.json("GET", f"/api/work?{child['link']}")["id"] == child["id"]
    for share, end in (("0", WORK), ("1", other)):
        same = visitor.json("GET", f"/api/cross?one={quote(WORK)}&other={quote(other)}&share={share}")
        assert same["id"] == visitor.json("GET", f"/api/work?{end}")["id"]
    wrong = {"share=2": "share", f"share=0.5&other={quote('model=slow@1&seed=1')}": "other", "share=0.5&one=x": "model"}
    for query, field in wrong.items():
        response, said = visitor.ask("GET", f"/api/cross?one={quote(WORK)}&other={quote(other)}&{query}")
        assert (response.status, list(json.loads(said)["fields"])) == (400, [field])


def test_a_film_is_saved_while_another_ones_frames_are_drawn(visitor: Visitor) -> None:
    walks = {
        name: "&".join(f"w={quote(f'model={name}&seed={seed}&c.style=ink')}" for seed in (1, 2))
        for name in ("slow", "tiny")
    }

    def save(name: str, frames: int) -> int:
        return visitor.ask("GET", f"/film.webp?{walks[name]}&frames={frames}")[0].status

    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(save, "slow", 96)
        assert visitor.events(f"/api/film?{walks['slow']}&frames=3")[-1][0] == "finished"  # the long one is drawn, too
        assert (save("tiny", 2), long.done()) == (200, False)
        assert long.result() == 200


def test_a_walk_passes_its_works_and_is_saved_as_a_film(visitor: Visitor) -> None:
    other = "model=tiny@1&seed=9&index=0&c.style=oil&c.subject=sea"
    walk = f"w={quote(WORK)}&w={quote(other)}&frames=9"
    events = visitor.events(f"/api/film?{walk}")
    works = [data for name, _, data in events if name == "work"]
    assert [work["index"] for work in works] == list(range(9))
    assert len({work["id"] for work in works}) == 9
    for place, query in ((0, WORK), (8, other)):
        assert works[place]["id"] == visitor.json("GET", f"/api/work?{query}")["id"]
    middle = visitor.json("GET", f"/api/cross?one={quote(WORK)}&other={quote(other)}&share=0.5")
    assert works[4]["id"] == middle["id"]
    rest = visitor.events(f"/api/film?{walk}", {"Last-Event-ID": "6"})
    assert [(name, id) for name, id, _ in rest] == [("work", "7"), ("work", "8"), ("finished", "")]
    _, data = visitor.ask("GET", f"/film.webp?{walk}&fps=8")
    with Image.open(BytesIO(data)) as film:
        assert (film.format, getattr(film, "n_frames", 1), film.size) == ("WEBP", 9, (256, 256))
    for query, field in ((f"w={quote(WORK)}", "w"), (f"{walk}&frames=97", "frames"), (f"{walk}&fps=nan", "fps")):
        response, said = visitor.ask("GET", f"/film.webp?{query}")
        assert (response.status, list(json.loads(said)["fields"])) == (400, [field])
