"""Checks of the families and tasks that a profile's import paths name."""
