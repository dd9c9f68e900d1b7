"""The engine that runs on OpenVINO GenAI, in a process of its own."""
