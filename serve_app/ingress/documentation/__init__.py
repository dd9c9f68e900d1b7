"""The OpenAPI document, and the two pages that show it without loading from other servers."""
