"""What can be wrong with a proof, each with its own name."""


class TransparencyError(ValueError):
    """Something that a transparency log says does not hold."""


class NoteError(TransparencyError):
    """A text is no signed note, checkpoint, proof, or key."""


class SignatureError(TransparencyError):
    """A note is not signed by the key."""


class InclusionError(TransparencyError):
    """Leaf and proof do not lead to the root of the checkpoint: one of the three was changed."""


class ConsistencyError(TransparencyError):
    """A checkpoint is not shown to be an extension of another."""


class SplitView(TransparencyError):
    """A log signed two checkpoints that no single log has: it showed different entries to different people."""


class TileError(TransparencyError):
    """A file of a published log is missing or was changed."""
