"""The front: checks ids, headers, hosts, keys and bodies before Serve and the application."""
