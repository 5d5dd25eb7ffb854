"""UrbanSound8K, the paper's second experiment."""
