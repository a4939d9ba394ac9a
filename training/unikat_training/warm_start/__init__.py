"""Training that begins with what another model has learnt: `unikat fit PICTURES --from portraits@1`."""
