"""Three tiny vision models of the embedded profile, which only know coloured shapes.

No package has a model for captions, visual questions or object detection. These are checkpoints of
usual architectures, trained on drawings, in a folder each. ``python -m tests.shapes.training``
trains them again.
"""
