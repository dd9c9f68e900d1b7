"""The ingress: the FastAPI application in front of the families, and all that a request passes."""
