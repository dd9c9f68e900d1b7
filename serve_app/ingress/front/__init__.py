"""The front: what happens to every request before anything else sees it."""
