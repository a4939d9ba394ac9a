"""Films: pictures that follow one another, in a file. Frames are encoded as they arrive."""
