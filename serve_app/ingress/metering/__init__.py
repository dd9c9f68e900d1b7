"""Metering: one record for each inference request, of the models it used and how it ended."""
