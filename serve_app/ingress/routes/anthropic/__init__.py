"""Anthropic's Messages API (docs.anthropic.com), translated to a chat and back."""
