"""Models in memory: device and dtype, loading, the model cache, orders to load and unload."""
