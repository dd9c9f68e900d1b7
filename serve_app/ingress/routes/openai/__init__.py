"""OpenAI's API (platform.openai.com/docs/api-reference), one file an endpoint."""
