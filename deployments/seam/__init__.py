"""Requests and results that cross between the ingress and the model side, by model family.

All of it is plain and picklable: no HTTP requests, no exceptions, no tensors. Both sides import
this package, so it imports neither torch nor a web framework. A failure that concerns one item is
a :class:`~deployments.seam.problems.Problem` in the place of that item's result. Exceptions are
only for unforeseen failures, and carry no data.
"""
