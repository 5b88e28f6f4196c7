"""Readers' routes: pages, what machines read, bookmarks. The app is put together in ``public``."""
