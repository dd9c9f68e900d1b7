"""The ingress: the FastAPI application in front of the families, and what a request passes."""
