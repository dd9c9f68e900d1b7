"""Converts weights of other formats (GGUF, ONNX, pickles) to checkpoints, and encoders to OpenVINO.

Runs as ``python -m deployments.conversion RECIPE ORIGIN FOLDER``, in a process of its own. A recipe
reads the files of the folder ``ORIGIN`` and writes into ``FOLDER``.
"""
