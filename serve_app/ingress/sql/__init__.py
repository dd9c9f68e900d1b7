"""A database of its own for each kind of state that all replicas of the ingress share."""
