"""Routes of vLLM's server beside OpenAI's API: scores, labels, pooled vectors, tokens.

What is on the wire follows its protocol (vllm-project/vllm, vllm/entrypoints). Errors are OpenAI's.
"""
