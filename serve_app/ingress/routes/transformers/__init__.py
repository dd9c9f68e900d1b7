"""System One, the typed decisions of ``transformers serve``, as its clients call it."""
