"""The ingress's use of Ray Serve: calls to replicas, and the state of deployments."""
