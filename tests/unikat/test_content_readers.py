"""c2pa's reader for browsers, from npm, accepts what is signed here, and nothing that was changed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.chromium import is_wanted, running_browser
from tests.support.content import FIRST, Signing, picture
from unikat.content_credentials.signing import embed

PACKAGE: Final = "@contentauth/c2pa-web@0.13.1"
MODULES: Final = {
    "highgain": "/highgain/dist/index.js",
    "ts-deepmerge": "/ts-deepmerge/esm/index.js",
    "c2pa": "/@contentauth/c2pa-web/dist/inline.js",
}
READ: Final = """async ([files, anchors]) => {
  const {createC2pa} = await import('c2pa');
  const c2pa = await createC2pa({settings: {trust: {trustAnchors: anchors}, verify: {verifyTrust: true}}});
  const found = [];
  for (const [type, data] of files) {
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    const reader = await c2pa.reader.fromBlob(type, new Blob([bytes], {type}));
    found.push(reader && await reader.manifestStore());
  }
  return found;
}"""


def read_in_a_browser(files: list[tuple[str, bytes]], anchors: bytes, scratch: Path) -> list[Any]:
    """c2pa's manifest store of each file (media type, bytes), or None. npm installs the reader into `scratch`."""
    subprocess.run(["npm", "install", "--silent", "--prefix", str(scratch), PACKAGE], check=True)
    head = f'<!doctype html><script type="importmap">{json.dumps({"imports": MODULES})}</script>'
    with running_browser() as browser:
        page = browser.new_page()
        page.route(
            "http://reader/**", lambda route: route.fulfill(path=f"{scratch}/node_modules{route.request.url[13:]}")
        )
        page.route("http://reader/", lambda route: route.fulfill(body=head, content_type="text/html"))
        page.goto("http://reader/")
        asked = [[media_type, base64.b64encode(data).decode()] for media_type, data in files]
        found: list[Any] = page.evaluate(READ, [asked, anchors.decode()])
    return found


@pytest.mark.long
@pytest.mark.skipif(not is_wanted() or not shutil.which("npm"), reason="there is no Chromium, or no npm")
def test_what_is_signed_here_is_accepted_and_what_was_changed_is_not(tmp_path: Path) -> None:
    signing = Signing.make(tmp_path)
    types = ("image/png", "image/webp", "image/jpeg")
    plain = [picture(media_type) for media_type in types]
    signed = [embed(data, each, FIRST, signing.signer()) for each, data in zip(types, plain, strict=True)]
    changed = [data[:-40] + bytes([data[-40] ^ 1]) + data[-39:] for data in signed]
    files = [(each, data) for kind in (signed, changed, plain) for each, data in zip(types, kind, strict=True)]
    found = read_in_a_browser(files, signing.root, tmp_path)
    assert [store["validation_state"] for store in found[:3]] == ["Trusted"] * 3
    for store in found[:3]:
        manifest = store["manifests"][store["active_manifest"]]
        said = {each["label"]: each["data"] for each in manifest["assertions"]}
        assert said["unikat.artwork"]["seed"] == str(FIRST.seed)
        assert said["c2pa.actions.v2"]["actions"][0]["action"] == "c2pa.created"
    assert [store and store["validation_state"] for store in found[3:6]] == ["Invalid"] * 3
    assert found[6:] == [None] * 3
