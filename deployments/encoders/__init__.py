"""Encoders as networks: tokens in, one array out, on whichever engine runs them.

``opening.open_network`` is all that a family needs. Nothing here imports torch or OpenVINO before
a network on that engine is opened.
"""
