"""`python -m shipjury_standalone` is the ``shipjury`` command."""

from .cli import main

main()
