"""Structured output: grammars (JSON schema, regex, tool calls) that a text has to follow.

- ``compiler``: compiles a grammar with llguidance; ``constraint``: the state of one text under it,
  which says what tokens may come next.
- ``json_schema``: changes a client's JSON schema into one that llguidance follows exactly, or
  refuses it, with the ``schema_*`` modules: where schemas are (``schema_walk``), keywords
  (``schema_rules``), numbers (``schema_numbers``), ``oneOf`` (``schema_overlap``) and recursion
  without an end (``schema_ending``).
- ``trial`` and ``trial_queue``: try a grammar in a bounded process before it is compiled here.
- ``rejections``: error messages for the client.
"""
