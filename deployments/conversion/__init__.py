"""Makes checkpoints that load like any other out of weights that come in another form.

Run as ``python -m deployments.conversion RECIPE ORIGIN FOLDER``, in a process of its own. Each
recipe reads files below ``ORIGIN`` and writes into ``FOLDER``; both are folders.
"""
