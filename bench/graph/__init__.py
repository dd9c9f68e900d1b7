"""A graph of stub models behind the real ingress: it measures everything but the models."""
