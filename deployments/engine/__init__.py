"""Ways to decode: one interface, one engine a file.

The interface and what every engine shares come first (``interface``, ``sequence``, ``codec``,
``scheduling``, ``stepping``), then the engines (``openvino`` on CPUs, ``torch_batch`` wherever
torch runs). Open one through :func:`deployments.engine.factory.open_engine`. Importing this package
imports none of them.
"""
