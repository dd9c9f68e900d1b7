"""A graph of stubs behind the real ingress: what is measured on it is the way, not a model."""
