"""What is claimed about batches."""
