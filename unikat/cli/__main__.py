"""`python -m unikat.cli`."""

from unikat.cli import main

main()
