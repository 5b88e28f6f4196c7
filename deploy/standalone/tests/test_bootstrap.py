"""What the installers say when something is missing, and the one sentence that we make of it."""

import pytest

from shipjury_standalone.bootstrap import explain

UV_NO_WHEEL = """\
error: No solution found when resolving dependencies
  cause: Because pywin32==306 has no wheels with a matching platform tag (e.g., `manylinux_2_36_x86_64`) and you
require pywin32==306, we can conclude that your requirements are unsatisfiable.
"""
PIP_NO_WHEEL = """\
ERROR: Could not find a version that satisfies the requirement pywin32==306 (from versions: none)
ERROR: No matching distribution found for pywin32==306
"""


@pytest.mark.parametrize("said", [UV_NO_WHEEL, PIP_NO_WHEEL], ids=["uv", "pip"])
def test_a_wheel_that_is_missing_for_the_platform_is_named_with_what_to_do(said: str) -> None:
    sentence = explain(said)
    assert sentence is not None
    assert sentence.startswith("There is no wheel of pywin32==306 for this platform (linux, ")
    assert "use Python 3.11 or 3.12 on Linux x86-64" in sentence


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("error: failed to write: No space left on device (os error 28)", "The disk is full"),
        ("× Failed to fetch: dns error: failed to lookup address information", "The package index can't be reached"),
        ("invalid peer certificate: UnknownIssuer", "The package index's certificate is not trusted here"),
        ("error: Hash mismatch for `attrs==1`", "A package is not the one that the lock file names"),
    ],
)
def test_other_failures_that_people_meet_are_one_sentence(said: str, sentence: str) -> None:
    assert (explain(said) or "").startswith(sentence)


def test_what_nobody_foresaw_is_not_guessed_at() -> None:
    assert explain("error: something else") is None
