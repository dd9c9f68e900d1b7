"""The OpenVINO model runner: OpenVINO GenAI's continuous batching, in a process of its own."""
