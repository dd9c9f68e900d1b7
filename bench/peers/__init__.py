"""What we compare with: other servers and libraries, on the same weights, on this machine.

`python -m bench.peers` sets up the environments that they need.
"""
