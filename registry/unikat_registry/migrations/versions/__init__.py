"""One file a step; none changes once it was released."""
