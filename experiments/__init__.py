"""The experiments behind the tables of docs: each is one command, ``python -m experiments.NAME``."""
