"""Three tiny vision models that know coloured shapes and nothing else, and how they were made.

No package carries a model for captions, questions about images or detection, so these stand in for
one in the embedded profile: real checkpoints of real architectures, trained on drawings. Each is a
folder beside this file. ``python -m tests.shapes.training`` makes them anew.
"""
