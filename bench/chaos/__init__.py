"""Faults of a running graph, provoked for real, and what they cost its clients."""
