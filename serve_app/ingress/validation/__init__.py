"""Validation of request bodies: parsing within bounds, field types, errors named by field."""
