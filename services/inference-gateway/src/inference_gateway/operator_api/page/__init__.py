"""The operators' page: spend, budgets and anomalies, drawn on the server, for a person with a browser and a key."""

from .routes import page_routes

__all__ = ["page_routes"]
