"""OpenAI's Responses API, without state: a translation to a chat, and of its answer back."""
