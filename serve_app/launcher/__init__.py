"""Starts the graph on one machine, shows how it comes up, and ends all of it again."""
