"""The values that travel between the ingress and the model side.

Everything here is a plain, picklable value: no request objects, no exceptions, no tensors of a
framework. Both sides import this module, so it imports neither torch nor a web framework.

A failure that belongs to the request travels as a :class:`Problem` in the place of the answer.
Exceptions are left for what nobody foresaw, and never carry data across the seam.
"""
