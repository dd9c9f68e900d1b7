"""The ingress side: HTTP, validation, routing and streams. Knows no torch."""
