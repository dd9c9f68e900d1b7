"""The OpenAPI document, and the two pages that show it: they need no other server."""
