"""PUMA: margin-based data pruning for better accuracy-robustness trade-offs.

The names in ``__init__.pyi`` are the library's face for people who do not run the workflow; each is loaded when it
is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
