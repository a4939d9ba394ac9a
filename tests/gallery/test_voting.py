"""Voting as programs see it: blind pairs, controls and repetitions, limits, the report, walls by what one likes."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.gallery.site import Site, Visitor
from unikat.errors import Overloaded
from unikat.pictures import read_pixels
from unikat_gallery.database import open_database, writing
from unikat_gallery.limits import HOUR_S, Limit, Limits
from unikat_gallery.settings import Settings
from unikat_gallery.tables import VOTES
from unikat_gallery.votes.ballot import Ballot
from unikat_gallery.votes.command import app
from unikat_gallery.votes.pairs import by_lot
from unikat_gallery.votes.pictures import Shown, artist_pictures, in_pieces, read_artist_picture
from unikat_gallery.votes.store import MOST_VOTES, all_votes
from unikat_gallery.votes.taste import Taste, choose, features
from unikat_gallery.votes.vote import Kind, Purpose, Question, Side, Vote

ANSWERED = 24  # pairs of each of three voters: four blocks


def is_whole(data: bytes) -> float:
    """How alike neighbouring pixels are: a picture in pieces has edges between them."""
    wide = read_pixels(data).astype(float)
    return -float(np.abs(np.diff(wide, axis=0)).mean() + np.abs(np.diff(wide, axis=1)).mean())


def answer(visitor: Visitor, ask: str = "") -> tuple[dict[str, str], list[bytes]]:
    """One pair, answered with the smoother side."""
    pair = visitor.json("POST", "/api/vote", {"ask": ask} if ask else {})
    files = [visitor.ask("GET", pair[place])[1] for place in ("left", "right")]
    place = ("left", "right")[int(np.argmax([is_whole(data) for data in files]))]
    visitor.json("POST", f"/api/vote/{pair['pair']}", {"chosen": place})
    return pair, files


@pytest.fixture(scope="module")
def voted(site: Site) -> list[tuple[dict[str, str], list[bytes]]]:
    voters = [(Visitor(site).enter(), ask) for ask in ("artist", "artist", "")]
    return [answer(voter, ask) for voter, ask in voters for _ in range(ANSWERED)]


@pytest.fixture(scope="module")
def votes(site: Site, voted: list[object]) -> list[Vote]:
    engine = open_database(site.database)
    with engine.connect() as db:
        found = all_votes(db)
    engine.dispose()
    assert len(found) == len(voted)
    return found


def test_every_block_has_a_control_and_a_repetition(votes: list[Vote]) -> None:
    of = Counter((vote.voter, vote.purpose) for vote in votes)
    for voter in {vote.voter for vote in votes}:
        assert of[voter, Purpose.CONTROL] == ANSWERED // 6
        assert of[voter, Purpose.REPEAT] >= ANSWERED // 6 - 1  # in the first block nothing may be far enough back
    where = [number % 6 for number, vote in enumerate(votes) if vote.purpose is Purpose.CONTROL]
    assert len(set(where)) > 2


def test_repetitions_show_the_same_works_and_controls_are_told_by_who_looks(votes: list[Vote]) -> None:
    first = {(vote.voter, vote.pair): vote for vote in votes if vote.purpose is Purpose.PAIR}
    repeated = [vote for vote in votes if vote.purpose is Purpose.REPEAT]
    assert repeated
    for vote in repeated:
        before = first[vote.voter, vote.pair]
        assert (vote.question, {vote.chosen, vote.other}) == (before.question, {before.chosen, before.other})
        assert vote.chosen == before.chosen, "this voter chooses by the pixels, and they are the same"
    assert {vote.chose_left for vote in votes} == {True, False}
    on_artist = [vote for vote in votes if vote.purpose is Purpose.CONTROL and vote.question is Question.ARTIST]
    assert on_artist
    assert all(vote.is_passed for vote in on_artist)


def test_sides_are_drawn_by_lot_again_for_a_repetition() -> None:
    shown = [Shown(Side(Kind.DRAWING, work), np.zeros((8, 8, 3), dtype=np.uint8)) for work in ("one", "other")]
    pairs = [by_lot("ann", Question.LIKE, Purpose.REPEAT, "pair", shown) for _ in range(64)]
    assert {tuple(side.side.work for side in pair.sides) for pair in pairs} == {("one", "other"), ("other", "one")}


def test_pairs_compare_entries_under_one_condition_or_with_the_artist(votes: list[Vote]) -> None:
    pairs = [vote for vote in votes if vote.purpose is Purpose.PAIR]
    kinds = Counter((v.question, *sorted((v.chosen.kind, v.other.kind))) for v in pairs)
    assert set(kinds) <= {
        (Question.LIKE, Kind.DRAWING, Kind.DRAWING),
        (Question.LIKE, Kind.DRAWING, Kind.PICTURE),
        (Question.ARTIST, Kind.DRAWING, Kind.PICTURE),
    }
    liked = [v for v in pairs if {v.chosen.kind, v.other.kind} == {Kind.DRAWING}]
    assert liked
    for vote in liked:
        assert {vote.chosen.truncation, vote.other.truncation} == {0.7, 1.0}
        one, other = ({p for p in side.recipe.split("&") if p.startswith("c.")} for side in (vote.chosen, vote.other))
        assert one
        assert one == other
        assert vote.chosen.recipe != vote.other.recipe


def test_nothing_that_is_sent_says_which_is_which(voted: list[tuple[dict[str, str], list[bytes]]]) -> None:
    for pair, files in voted:
        assert set(pair) == {"question", "pair", "left", "right"}
        assert pair["left"].replace("left", "right") == pair["right"]
        for data in files:
            with Image.open(BytesIO(data)) as image:
                assert (image.size, image.mode, image.info) == ((16, 16), "RGB", {})


def test_an_answer_counts_once_and_is_its_voters(site: Site) -> None:
    voter, other = Visitor(site).enter(), Visitor(site).enter()
    pair = voter.json("POST", "/api/vote", {})
    for visitor, path in ((other, pair["left"]), (other, f"/api/vote/{pair['pair']}")):
        method = "GET" if path.endswith(".png") else "POST"
        response, _ = visitor.ask(method, path, None if method == "GET" else {"chosen": "left"})
        assert response.status == 404
    response, said = voter.ask("POST", f"/api/vote/{pair['pair']}", {"chosen": "both"})
    assert (response.status, list(json.loads(said)["fields"])) == (400, ["chosen"])
    assert voter.json("POST", f"/api/vote/{pair['pair']}", {"chosen": "left"}) == {"answered": 1, "ready": False}
    response, _ = voter.ask("POST", f"/api/vote/{pair['pair']}", {"chosen": "left"})
    assert response.status == 404
    response, said = voter.ask("POST", "/api/vote", {"ask": "price"})
    assert (response.status, list(json.loads(said)["fields"])) == (400, ["ask"])
    assert Visitor(site).ask("POST", "/api/vote", {})[0].status == 409, "without a cookie"


def test_the_report_is_made_of_the_database(site: Site, votes: list[Vote], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["votes", "report", "--database", str(site.database), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["votes"]["all"] >= len(votes)
    assert report["artist"]["agreement"]["value"] == 1.0, "these voters choose by the pixels"
    assert report["artist"]["taken"]["value"] < 0.5
    assert report["voters"]["counted"] >= 2
    assert "What people say" in (tmp_path / "report.html").read_text()
    assert not any(vote.voter in (tmp_path / "report.json").read_text() for vote in votes)


def test_a_wall_of_what_one_likes_can_be_chosen_again_from_its_record(site: Site) -> None:
    voter = Visitor(site).enter()
    query = "/api/taste?model=tiny&c.style=ink"
    response, said = voter.ask("POST", query)
    assert (response.status, json.loads(said)["message"]) == (409, "taste: answer 10 pairs first: 0 so far")
    while not voter.json("GET", "/api/vote")["ready"]:
        answer(voter, "like")
    found = voter.json("POST", query)
    record, works = found["record"], found["works"]
    assert len(works) == 24
    assert record["drawn"] == list(range(24 * record["candidates"]))
    link = record["link"].replace("index=0&", "")
    drawn = [data for name, _, data in voter.events(f"/api/wall?{link}&count=192") if name == "work"]
    files = [voter.ask("GET", each["image"])[1] for each in drawn]
    scored = np.concatenate([features(read_pixels(data)[None]) for data in files])
    taste = Taste(np.array(record["taste"]["weights"]))
    again = choose(taste, scored.reshape(24, record["candidates"], -1))
    assert [8 * place + int(number) for place, number in enumerate(again.places)] == record["chosen"]
    assert [drawn[index]["id"] for index in record["chosen"]] == [each["id"] for each in works]
    assert found["cost"] == {
        "preferred": again.preferred, "variety": again.variety, "plain_variety": again.plain_variety
    }  # fmt: skip
    assert again.preferred > 0.5


def test_a_voters_answers_are_bounded_and_what_is_beyond_is_not_asked(site: Site) -> None:
    voter = Visitor(site).enter()
    open_pair = voter.json("POST", "/api/vote", {})
    engine = open_database(site.database)
    row: dict[str, object] = {"chosen": "{}", "other": "{}", "chosen_features": b"", "other_features": b""}
    row |= {"visitor": voter.cookie.partition("=")[2], "question": "like", "purpose": "pair", "chose_left": True}
    with writing(engine) as db:
        db.execute(VOTES.insert(), [row | {"pair": str(number)} for number in range(MOST_VOTES)])
    try:
        for path, body in (("/api/vote", {}), (f"/api/vote/{open_pair['pair']}", {"chosen": "left"})):
            response, said = voter.ask("POST", path, body)
            assert (response.status, b"votes: you answered" in said) == (409, True), said
        assert voter.json("GET", "/api/vote")["answered"] == MOST_VOTES
    finally:
        with writing(engine) as db:
            db.execute(VOTES.delete().where(VOTES.c.visitor == row["visitor"]))
        engine.dispose()


def test_too_many_pairs_a_minute_are_refused() -> None:
    limits = Limits(Limit(3, "At most 3 a minute."), Limit(5, "At most 5 of all.", HOUR_S))
    for _ in range(3):
        limits.take("one")
    with pytest.raises(Overloaded, match="At most 3 a minute") as refused:
        limits.take("one")
    assert 15 < (refused.value.retry_after or 0) <= 20
    limits.take("other")
    limits.take("other")
    with pytest.raises(Overloaded, match="At most 5 of all") as refused:
        limits.take("other")
    assert 700 < (refused.value.retry_after or 0) <= 720


def test_what_is_open_is_bounded_for_each_voter() -> None:
    ballot = Ballot(Limits(Limit(1, ""), Limit(1, "")))
    purposes = [ballot.purpose("a", number) for number in range(600)]
    assert [ballot.purpose("a", number) for number in range(600)] == purposes
    assert purposes.count(Purpose.CONTROL) == purposes.count(Purpose.REPEAT) == 100
    assert purposes != [ballot.purpose("b", number) for number in range(600)]
    assert purposes != [Ballot(Limits(Limit(1, ""), Limit(1, ""))).purpose("a", number) for number in range(600)]


def test_artist_pictures_are_read_at_the_models_size_on_white(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no picture"):
        artist_pictures(tmp_path)
    assert artist_pictures(None) == ()
    Image.new("RGBA", (90, 30), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    broken, clear = artist_pictures(tmp_path)
    pixels, _ = read_artist_picture(clear, (16, 24))
    assert (pixels.shape, int(pixels.min())) == ((24, 16, 3), 255)
    with pytest.raises(ValueError, match=r"broken\.png: not a picture"):
        read_artist_picture(broken, (16, 16))


def test_pieces_are_the_same_pixels_elsewhere() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (34, 16, 3), dtype=np.uint8)
    mixed = in_pieces(pixels)
    assert (mixed != pixels).any()
    assert sorted(map(tuple, mixed.reshape(-1, 3).tolist())) == sorted(map(tuple, pixels.reshape(-1, 3).tolist()))


def test_truncations_that_are_none_are_refused() -> None:
    assert Settings(vote_truncations="1, 0.5,1").truncations == [1.0, 0.5]
    for text in ("", "high", "0.7,3", "-1"):
        with pytest.raises(Exception, match="--vote-truncations"):
            Settings(vote_truncations=text)
