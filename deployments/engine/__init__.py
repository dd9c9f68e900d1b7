"""Text generation engines: they decode many sequences together (continuous batching).

- ``interface``: the ``Engine`` protocol, all that the generation deployment knows of an engine.
- ``engine_core``: its one implementation, a thread that admits, preempts and steps. It is made of a
  ``scheduler`` (which sequences run or wait) and a ``model_runner`` (the model and its KV cache).
- Model runners: ``torch_runner`` wherever torch runs (opened by ``torch_engine``),
  ``sequential_runner`` for models that it cannot run, ``openvino`` on CPUs in a process of its own.
- ``own_process``: the whole torch engine in a process of its own, as on CPUs.
- Of the torch runner: ``step_plan`` plans a step over ``kv_blocks``, ``packed_step`` makes tensors
  of it, ``packed_model`` computes it through ``attention`` and the ``kv_cache``, if the
  ``packing_probe`` finds that it can. The cache is a
  ``dense_kv_cache``, or on CUDA a ``paged_kv_cache``, whose decode steps are ``cuda_graphs``.
- ``sequence``: one text being decoded; it uses the ``detokenizer``, stop strings (``stopping``) and
  a ``grammar`` constraint (structured output). ``sampling``: the sampler of the torch runner.
- ``codec``: tokenizer and chat template. ``prompt_preprocessor``, ``prompts``: a request's prompt
  as token ids, and its grammar.
- ``token_chunks``: the tokens of one request; ``token_stream`` paces them on their way from the
  engine's thread to the event loop.
- ``tuning``: the constants that were measured.

Open an engine with :func:`deployments.engine.factory.open_engine`; ``engine_loader`` does so for a
model of the profile. Importing this package imports
none of them.
"""
