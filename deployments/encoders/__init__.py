"""Text encoders: tokenizing, zero-shot labels, entities, and networks on torch or OpenVINO.

:func:`~deployments.encoders.backends.open_network` opens a network on the engine that suits it.
Nothing here imports torch or OpenVINO before a network on that engine is opened.
"""
