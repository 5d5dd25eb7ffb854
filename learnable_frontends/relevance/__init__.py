"""Relevance heads: small networks that weight parts of a time-frequency picture, alone or behind a front-end."""

from learnable_frontends.relevance.multi_head import MultiHeadRelevance
from learnable_frontends.relevance.weighting import RelevanceWeighting

__all__ = ["MultiHeadRelevance", "RelevanceWeighting"]
