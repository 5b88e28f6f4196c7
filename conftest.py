"""Every test of the repository gets the embedded parts as fixtures."""

pytest_plugins = ["shipjury_standalone.testing"]
