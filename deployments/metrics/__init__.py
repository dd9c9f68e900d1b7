"""Metrics of the whole cluster: replicas report samples to the ledger, which adds them up."""
