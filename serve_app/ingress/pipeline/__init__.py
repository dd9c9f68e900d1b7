"""A request's own graph (``POST /graph``): steps over the families, and what flows between them.

A step names a task, such as ``classify``, and has the body of that task's route as its inputs. A
string like ``"$other.sentiment"`` in the inputs is a reference: that part of the answer of the step
``other`` takes its place.

``references`` parses and resolves references. ``steps`` and ``pipeline`` check a whole graph before
anything runs. ``run`` runs each step as soon as the steps that it refers to are done. ``budget``
bounds the data that flows between steps. Nothing here knows HTTP or a handle.
"""
