"""The model side: one Ray Serve deployment per model family. Knows no HTTP."""
