"""Reading credentials: whether they hold, whose they are, what they say, and what exactly is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from unikat.content_credentials.about import About
from unikat.content_credentials.reading_process import WITHOUT, stored
from unikat.pem import certificates

UNTRUSTED: Final = "signingCredential.untrusted"
UNREADABLE: Final = "unreadable"  # our own code, where c2pa gives up instead of naming one

_CHANGED: Final = "was changed after it was signed"
# C2PA's codes of failure (C2PA 2.4, "Validation status codes") in plain words; {what} is the assertion.
_WORDS: Final = {
    "assertion.dataHash.mismatch": "the picture is not the one that was signed: its file was changed, or these are the "
    "credentials of another one",
    "assertion.hashedURI.mismatch": f"the statement {{what}} {_CHANGED}",
    "assertion.action.malformed": f"the statement {{what}} {_CHANGED}",
    "assertion.cbor.invalid": f"the statement {{what}} {_CHANGED}",
    "assertion.required.missing": f"the statement {{what}} {_CHANGED}",
    "assertion.missing": "the statement {what} is missing",
    "assertion.undeclared": "the statement {what} was added after the others were signed",
    "claim.malformed": "the list of what was signed is damaged",
    "claimSignature.missing": "the signature is missing, or damaged",
    "claimSignature.mismatch": "the signature is of something else: the list of what was signed, the signature or its "
    "certificate was changed",
    "claimSignature.outsideValidity": "the certificate was not valid at the time of signing",
    "signingCredential.invalid": "the certificate may not sign credentials, or is damaged",
    "signingCredential.expired": "the certificate has expired, or is not valid yet, and no time stamp says that it was "
    "valid when it signed",
    "signingCredential.ocsp.revoked": "the certificate was revoked",
    "timeStamp.mismatch": "the time stamp is of something else",
    "timeStamp.malformed": "the time stamp is damaged",
    "timeStamp.outsideValidity": "the time-stamp authority's certificate was not valid at the time that it states",
}


class State(StrEnum):
    """Whether a picture's credentials hold; whether their signer is trusted is another question."""

    VALID = "valid"
    INVALID = "invalid"
    NONE = "none"


@dataclass(frozen=True)
class Failure:
    """What is wrong: C2PA's code of it ("unreadable" where there is none), and plain words."""

    code: str
    text: str


@dataclass(frozen=True)
class Report:
    """What credentials are worth, and what they say.

    Of `about` and `assertions` (label to data) only those of credentials that are `VALID` are what the signer said;
    `about` is None where the picture is none of ours. `signer` is as its certificate names it; `time` is the one that
    an RFC 3161 authority signed, if any: anybody can be one, so it counts where `is_time_trusted`.
    """

    state: State
    is_trusted: bool = False
    signer: str = ""
    time: datetime | None = None
    is_time_trusted: bool = False
    generator: str = ""
    about: About | None = None
    assertions: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def read(data: bytes, media_type: str, sidecar: bytes | None = None, anchors: bytes | None = None) -> Report:
    """The report on a file, by the credentials in it, or those of `sidecar`.

    `anchors` are the roots that are trusted (PEM); without any, nobody is. Nothing is fetched: credentials that a file
    only points to are none. Whatever is in the bytes, it is reported, not raised; ValueError is for anchors that are
    no certificates. Damaged credentials may take 4 GB of memory meanwhile: those of strangers are for
    `apart.read_apart`.
    """
    check_anchors(anchors or b"")
    return report_of(stored(data, media_type, sidecar, anchors or b""))


def check_anchors(anchors: bytes) -> None:
    """Raises ValueError for what is not PEM."""
    if anchors:
        certificates(anchors)


def report_of(text: str | bytes) -> Report:
    """The report on what `stored` gave."""
    found = json.loads(text)
    if WITHOUT not in found:
        return _report(found)
    if found[WITHOUT] is None:
        return unreadable(found["reason"])
    elsewhere = (Failure(UNREADABLE, found[WITHOUT]),) if found[WITHOUT] else ()
    return Report(State.NONE, failures=elsewhere)


def unreadable(reason: str) -> Report:
    """The report on what c2pa cannot read."""
    text = f"the credentials, or the picture's file, are damaged: {reason}"
    return Report(State.INVALID, failures=(Failure(UNREADABLE, text),))


def _report(store: Mapping[str, Any]) -> Report:
    manifest = store["manifests"].get(store.get("active_manifest"))
    if manifest is None:
        return unreadable("no manifest has the name that they give")
    results = store["validation_results"].get("activeManifest", {})
    signature = manifest.get("signature_info", {})
    said = {each["label"]: each.get("data") for each in manifest.get("assertions", [])}
    stated = signature.get("time")
    return Report(
        state=State.INVALID if store["validation_state"] == "Invalid" else State.VALID,
        is_trusted=store["validation_state"] == "Trusted",
        signer=_signer(signature),
        time=datetime.fromisoformat(stated) if stated else None,
        is_time_trusted=any(each["code"] == "timeStamp.trusted" for each in results.get("success", ())),
        generator=_generator(manifest),
        about=About.from_assertions(said),
        assertions=said,
        failures=tuple(_failures(results)),
    )


def _failures(results: Mapping[str, Any]) -> Iterator[Failure]:
    """Each kind once, in the order in which c2pa found them."""
    seen = set()
    for each in results.get("failure", ()):
        code = each["code"]
        if code == UNTRUSTED:  # `is_trusted` says so
            continue
        words = _WORDS.get(code)
        what = each.get("url", "").rpartition("/")[2]
        text = words.format(what=what) if words else f"{code}: {each.get('explanation', '')}"
        if text not in seen:
            seen.add(text)
            yield Failure(code, text)


def _signer(signature: Mapping[str, Any]) -> str:
    name, organization = signature.get("common_name"), signature.get("issuer")
    return ", ".join(dict.fromkeys(filter(None, (name, organization))))


def _generator(manifest: Mapping[str, Any]) -> str:
    info: Mapping[str, str] = next(iter(manifest.get("claim_generator_info") or []), {})
    return " ".join(filter(None, (info.get("name"), info.get("version"))))
