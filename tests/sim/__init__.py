"""Simulated providers: strict, faulty on request, and with an account of their own. See README.md."""
