"""Peers to compare with: other servers and libraries, on the same weights and machine.

`python -m bench.peers` sets up their environments.
"""
