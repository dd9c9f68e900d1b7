"""The configuration of the service: settings, profiles and their rules, and sources of weights."""
