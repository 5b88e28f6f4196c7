"""Tests of the inference gateway."""
