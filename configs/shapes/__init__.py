"""Four tiny models of the embedded profile that see or draw, and only know coloured shapes.

No package has a model for captions, visual questions, object detection or images of prompts. These
are checkpoints of usual architectures, trained on drawings, in a folder each.
``python -m tests.shapes.training`` trains the first three again, and
``python -m tests.shapes.pipeline_training`` the pipeline that draws.
"""
