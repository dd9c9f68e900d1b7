"""Everything that the ingress asks of Ray Serve: calls to replicas, and what state they are in."""
