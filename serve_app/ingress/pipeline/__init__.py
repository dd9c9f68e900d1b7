"""A graph of a request's own: steps over the families, and what flows between them.

``references`` reads what a step's inputs take from elsewhere, ``steps`` and ``plan`` check a whole
graph before anything runs, ``running`` runs it. None of them knows HTTP or a handle.
"""
