"""Every test of the repository gets the embedded parts as fixtures, and no example of Hypothesis is timed."""

from hypothesis import settings

pytest_plugins = ["shipjury_standalone.testing"]

settings.register_profile("shipjury", deadline=None)  # machines are shared: how long an example takes says nothing
settings.load_profile("shipjury")
