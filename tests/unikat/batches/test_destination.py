from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unikat.batches.destination import MAX_LENGTH, is_open, normalise, open_prefixes

ROOT = Path(__file__).parents[3]

names = st.text(
    st.characters(
        min_codepoint=32, max_codepoint=0x2FF, exclude_characters="/\\?#*[]:,~", exclude_categories=["C", "Z"]
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))
slashes = st.integers(1, 3).map("/".__mul__)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/data/out", "file:///data/out"),
        ("//data//out/", "file:///data/out"),
        ("file:///data/out", "file:///data/out"),
        ("FILE:///data", "file:///data"),
        ("/", "file:///"),
        ("/with a blank/ü", "file:///with a blank/ü"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://Bucket.name//folder///x/", "s3://Bucket.name/folder/x"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("/a/..b/.c", "file:///a/..b/.c"),
    ],
)
def test_a_destination_becomes_one_url(text: str, url: str) -> None:
    assert normalise(text) == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("out", "absolute path"),
        ("./out", "absolute path"),
        ("~/out", "absolute path"),
        ("file:out", "absolute path"),
        ("file://host/out", "three slashes"),
        ("file://", "three slashes"),
        ("/data/../etc", r'"\.\."'),
        ("/data/./out", r'"\."'),
        ("s3://bucket/../other", r'"\.\."'),
        ("s3://", "cannot be a bucket"),
        ("s3:///out", "cannot be a bucket"),
        ("s3://../out", "cannot be a bucket"),
        ("s3://user:password@bucket/out", "user or a password"),
        ("s3://key@bucket/out", "user or a password"),
        ("s3://bucket/out?versionId=1", r"\?"),
        ("s3://bucket/out#part", "#"),
        ("s3://bucket/a*", "pattern"),
        ("simplecache::s3://bucket/out", "::"),
        ("/data/a::b", "::"),
        ("C:\\data\\out", "absolute path"),
        ("/data\\out", "must not have"),
        ("/data/\nout", "control characters"),
        ("/data/\0out", "control characters"),
        ("/data/\u202etxt.tuo", "control characters"),
        ("/data/\ud800", "control characters"),
        ("/" + "a" * 256, "255 bytes"),
        ("/" + "a/" * MAX_LENGTH, "1024 characters"),
        ("/" + "a" * 10**6, "1024 characters"),
    ],
)
def test_what_is_no_destination_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        normalise(text)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(ValueError, match="user or a password") as refused:
        normalise("s3://user:hunter2@bucket/out")
    assert "hunter2" not in str(refused.value)


@given(
    st.text(max_size=40) | st.text("/.:\\s3fileab", max_size=40).map("s3://".__add__) | st.text("/.ab").map("/".__add__)
)
def test_any_text_is_refused_or_becomes_a_url_that_stays_as_it_is(text: str) -> None:
    try:
        url = normalise(text)
    except ValueError:
        return
    assert normalise(url) == url
    assert is_open(url, (url,))
    scheme, _, rest = url.partition("://")
    assert scheme == scheme.lower()
    assert not {".", ".."} & set(rest.split("/"))
    assert "//" not in rest


@given(st.lists(names, max_size=4), st.lists(names, max_size=4), st.data())
def test_a_destination_is_open_exactly_if_it_is_below_a_prefix_by_whole_names(
    prefix: list[str], below: list[str], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([prefix + below, below, [*prefix[:-1], (prefix or ["x"])[-1] + "x", *below]]))
    separators = data.draw(st.lists(slashes, min_size=len(path), max_size=len(path)))
    text = "".join(slash + name for slash, name in zip(separators, path, strict=True)) or "/"
    expected = path[: len(prefix)] == prefix
    opened = open_prefixes("/" + "/".join(prefix))
    assert is_open(normalise(text), opened) is expected
    assert not is_open(normalise("s3://bucket/" + text), opened)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///data/out", True),
        ("file:///data/out/a", True),
        ("file:///data/outside", False),
        ("file:///data", False),
        ("file:///data/out/../x", False),
        ("file:///data/out//x", False),
        ("/data/out", False),
        ("", False),
        ("s3://bucket/open/a", True),
        ("s3://bucket/opened", False),
        ("s3://bucket2/open", False),
        ("S3://bucket/open", False),
    ],
)
def test_open_is_what_is_below_a_prefix(url: str, expected: bool) -> None:
    assert is_open(url, ("file:///data/out", "s3://bucket/open")) is expected


def test_nothing_is_open_by_default() -> None:
    assert open_prefixes("") == ()
    assert not is_open("file:///data", ())


def test_the_root_opens_every_folder_and_no_bucket() -> None:
    assert is_open("file:///any/where", open_prefixes("/"))
    assert not is_open("s3://bucket", open_prefixes("/"))


def test_the_operator_may_write_relative_paths_and_the_home_folder() -> None:
    opened = open_prefixes(" ./out/ , s3://bucket/x/,, ~/pictures,../beside")
    here, home = Path.cwd(), os.path.expanduser("~")
    assert opened == (f"file://{here}/out", "s3://bucket/x", f"file://{home}/pictures", f"file://{here.parent}/beside")


def test_a_wrong_prefix_is_named() -> None:
    with pytest.raises(ValueError, match=r"s3://a@b/x.*user or a password"):
        open_prefixes("/data,s3://a@b/x")


def test_reading_destinations_needs_no_file_system_library() -> None:
    program = "import sys, unikat.batches.destination; print({'fsspec', 'pyarrow', 'redis', 'rq'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True) == "set()\n"
