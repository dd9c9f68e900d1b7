"""A run of scaling on a real Ray cluster of several nodes on this machine, with made-up GPUs."""
