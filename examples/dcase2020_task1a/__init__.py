"""DCASE 2020 task 1A, the paper's first experiment."""
