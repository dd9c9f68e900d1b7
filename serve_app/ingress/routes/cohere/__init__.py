"""Cohere's API for reranking and embedding (docs.cohere.com/reference), as its clients call it."""
