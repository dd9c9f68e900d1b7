"""Starts the graph on one machine, shows how it comes up, and takes all of it down again."""
