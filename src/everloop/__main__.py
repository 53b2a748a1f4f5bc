"""`python -m everloop` is `ever`."""

from everloop.cli import main

main()
