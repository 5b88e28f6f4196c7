"""The journey of a tool through all services, embedded."""
