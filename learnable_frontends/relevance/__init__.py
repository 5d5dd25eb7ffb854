"""Relevance heads, small networks that weight time-frequency bins, on their own or behind a front-end."""

from learnable_frontends.relevance.multi_head import MultiHeadRelevance
from learnable_frontends.relevance.weighting import RelevanceWeighting

__all__ = ["MultiHeadRelevance", "RelevanceWeighting"]
