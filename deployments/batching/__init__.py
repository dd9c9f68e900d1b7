"""Batching: requests are queued, and a batch is formed whenever the model is free."""
