"""API keys that are stored in a database, and the limits of keys."""
