"""The playground: the page at ``/`` where models can be tried in a browser."""
