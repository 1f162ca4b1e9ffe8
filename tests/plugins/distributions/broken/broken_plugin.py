"""A plugin that fails while it is imported."""

raise RuntimeError("the shared library\nis missing")
