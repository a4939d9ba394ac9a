"""What operators said of models and workers: kept in Redis, read by services every second and by workers every beat.

Nothing here is needed to draw: where it cannot be read, or is damaged, everything is served.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from unikat.bundle import parse_reference
from unikat.queue.scripts import Argument, Command

CONTROL_KEY: Final = "unikat:control"  # hash: "<action> <of what>" -> id in the record, subject, who, why: a line each
RECORD_KEY: Final = "unikat:control:record"  # stream: every change
RECORD_KEPT: Final = 10_000  # changes
ASK: Final[Command] = ("HGETALL", CONTROL_KEY)

_ID: Final = re.compile(r"([0-9]{1,15})-[0-9]{1,20}")

log = logging.getLogger(__name__)


class Action(StrEnum):
    """What a change is."""

    LOAD = "load"
    UNLOAD = "unload"
    PIN = "pin"
    UNPIN = "unpin"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Change:
    """`subject` is "name@version" of a model, of UNPIN its name, of DRAIN a worker; `at` is Redis' time (Unix, s)."""

    action: Action
    subject: str
    who: str
    why: str
    at: float


@dataclass(frozen=True)
class Control:
    """What holds: the change that each model or worker is as it is by. `pinned` is by the model's name."""

    pinned: Mapping[str, Change] = field(default_factory=dict)
    unloaded: Mapping[str, Change] = field(default_factory=dict)
    loaded: Mapping[str, Change] = field(default_factory=dict)
    draining: Mapping[str, Change] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Mapping[bytes, bytes]) -> Control:
        """From the hash; what is damaged is passed over."""
        held: dict[Action, dict[str, Change]] = {action: {} for action in Action}
        for name, value in found.items():
            try:
                word, _, of = name.decode().partition(" ")
                id, subject, who, why = value.decode().split("\n", 3)
                held[Action(word)][of] = Change(Action(word), subject, who, why, time_of(id))
            except ValueError:
                _warn("%s has a field that nobody of ours wrote: %r", name[:80])
        return cls(held[Action.PIN], held[Action.UNLOAD], held[Action.LOAD], held[Action.DRAIN])

    def resolve(self, reference: str) -> str:
        """ "emoji" as "emoji@2" where it is pinned to that; all else as it is. Raises ValueError."""
        name, version = parse_reference(reference)
        change = self.pinned.get(name) if version is None else None
        return reference if change is None else change.subject


def of_reply(reply: Any) -> Control:  # noqa: ANN401  (a reply to ASK: pairs in a list, or an error)
    """What holds, by the reply to ASK; nothing where this user may not read it."""
    if not isinstance(reply, list):
        _warn("%s cannot be read, so that what operators said does not hold: %s", str(reply))
        return Control()
    return Control.of(dict(zip(reply[::2], reply[1::2], strict=True)))


@lru_cache(256)  # once each: it is read every second
def _warn(text: str, of: object) -> None:
    log.warning(text, CONTROL_KEY, of)


def arguments(action: Action, subject: str, who: str, why: str, gone: Iterable[str] = ()) -> Sequence[Argument]:
    """Of control.lua, which makes a change; `time_of` reads its reply. They may be sent twice.

    `gone` are workers that were to leave and have: nothing more holds of them.
    """
    sets, removes = _fields(action, subject)
    forgotten = [f"{Action.DRAIN} {name}" for name in gone]
    return [secrets.token_hex(8), RECORD_KEPT, action, subject, who, why, sets, *removes, *forgotten]


def _fields(action: Action, subject: str) -> tuple[str, list[str]]:
    """The field that a change sets ("" none), and those that it removes."""
    match action:
        case Action.LOAD:
            return f"{Action.LOAD} {subject}", [f"{Action.UNLOAD} {subject}"]
        case Action.UNLOAD:
            return f"{Action.UNLOAD} {subject}", [f"{Action.LOAD} {subject}"]
        case Action.PIN:
            return f"{Action.PIN} {subject.partition('@')[0]}", []
        case Action.UNPIN:
            return "", [f"{Action.PIN} {subject}"]
        case Action.DRAIN:
            return f"{Action.DRAIN} {subject}", []


def time_of(id: str | bytes) -> float:
    """Unix time (s, Redis') of an entry of the record. Raises ValueError."""
    found = _ID.fullmatch(id.decode() if isinstance(id, bytes) else id)
    if found is None:
        raise ValueError(f"not an entry's id: {id!r}")
    return int(found[1]) / 1000


def entry_of(id: bytes, fields: Sequence[bytes]) -> Change:
    """An entry of the record. Raises ValueError for one that nobody of ours wrote."""
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        action, subject, who, why = (found[name].decode() for name in (b"action", b"subject", b"who", b"why"))
    except KeyError as error:
        raise ValueError(f"not a change: {error}") from error
    return Change(Action(action), subject, who, why, time_of(id))
