"""The experiments behind the tables in the documentation; each one is a command, ``python -m experiments.NAME``."""
