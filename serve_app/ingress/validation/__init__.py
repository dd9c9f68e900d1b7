"""Request bodies: parsed within bounds, validated, and their errors named by field."""
