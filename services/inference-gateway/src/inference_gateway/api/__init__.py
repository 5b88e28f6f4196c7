"""The gateway's HTTP face: a lean request path for completions, FastAPI for everything that need not be fast."""
