"""Structured output: JSON schemas and other grammars that a text has to follow."""
