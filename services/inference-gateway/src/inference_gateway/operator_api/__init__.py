"""What operators call and see: routes under `/gateway/admin`."""

from .app import operator_api

__all__ = ["operator_api"]
