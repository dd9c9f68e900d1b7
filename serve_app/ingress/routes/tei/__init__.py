"""The API of text-embeddings-inference (TEI), at the root and below a model.

What is on the wire follows its router (huggingface/text-embeddings-inference, router/src/http).
"""
