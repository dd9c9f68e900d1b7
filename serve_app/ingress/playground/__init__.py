"""The playground: the page at ``/`` where every kind of model can be tried in a browser."""
