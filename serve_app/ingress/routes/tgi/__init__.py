"""The API of text-generation-inference (TGI), at the root and below a model."""
