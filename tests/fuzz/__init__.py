"""Fuzzing: bytes that somebody else may have written, to every decoder that reads such.

`targets.py` has the decoders, `make fuzz` feeds each of them a million inputs that atheris derives from `corpus/`, and
`test_corpus.py` replays the corpus and some hundred mutations of it in every run of the tests.
"""
