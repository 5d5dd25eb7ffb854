"""Checks of what is published, the built site and the built wheel: ``make docs-check`` and ``make dist`` run them."""
