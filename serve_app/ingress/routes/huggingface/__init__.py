"""The API that ``huggingface_hub.InferenceClient`` speaks, one file a kind of task.

What is on the wire follows huggingface_hub's own client and its generated types (from the
specifications in huggingface.js, packages/tasks), TGI's router for text generation and TEI's for
vectors.
"""
