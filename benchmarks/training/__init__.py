"""What is claimed about training: networks compared at equal time, and what settings cost."""
