"""The Model Context Protocol: the tasks of the native API as tools."""
