"""`python -m bench.peers`: sets up the virtual environment of every peer that needs one."""

from bench.pairs import tell
from bench.peers.environment import names, python_of

for name in names():
    tell(f"{name}: {python_of(name)}")
