"""What a profile's import paths lead to: the families, their tasks, and checks of both."""
