"""One account a request for inference: what it asked of which models, and how it ended."""
