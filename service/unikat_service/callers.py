"""Who calls: the common name of the client's certificate, where the service asks clients for one."""

from __future__ import annotations

import re
from typing import Final

from google.rpc.code_pb2 import Code

from unikat.errors import Reason, UnikatError, error_of, make_status
from unikat_service.errors import Context

OWNER: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
OWNER_RULE: Final = "1 to 128 characters of A-Z a-z 0-9 . _ @ -"


NO_CERTIFICATE: Final = "default"
NO_OWNER: Final = "anon"


def queue_owner(context: Context, are_certified: bool) -> str:
    """Whose queues a call's job waits in; the certificate may be of anybody."""
    if not are_certified:
        return NO_CERTIFICATE
    try:
        return certified(context) or NO_CERTIFICATE
    except UnikatError:
        return NO_OWNER


def certified(context: Context) -> str | None:
    """The caller as its certificate names it; None where callers show none.

    Raises UnikatError (PERMISSION_DENIED) for a certificate whose common name cannot be an owner.
    """
    shown = context.auth_context()
    if "x509_pem_cert" not in shown:
        return None
    name = b"".join(shown.get("x509_common_name", ())).decode(errors="replace")
    if not OWNER.fullmatch(name):
        text = f"the client certificate's common name must be {OWNER_RULE}, not {name!r}"
        raise error_of(make_status(Code.PERMISSION_DENIED, text, Reason.CERTIFICATE))
    return name
