"""Content Credentials (C2PA): signed statements of where a picture comes from, in its file or beside it.

`signing` and `reading` need the extra `credentials`. What they prove and do not is in docs/provenance.md. Signing the
same picture twice gives different bytes (random labels, ECDSA), so nothing that has to be the same each time is made
from signed files.
"""
