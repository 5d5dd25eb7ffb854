"""Plots of front-ends in Hz and seconds: centers, responses, kernels, features, masks, and learning.

Every function draws into ``ax`` and returns ``(fig, ax)``. Without ``ax`` it makes a figure with `matplotlib.pyplot`:
a notebook shows it below its cell, and a script shows it with ``plt.show()`` or saves it with
``fig.savefig("plot.png")``. pyplot keeps every figure open, so a program that makes many figures has to close each one
with ``plt.close(fig)``. Lines differ both in color (those of Okabe and Ito) and in marker or dashes. All functions
raise ``ModuleNotFoundError`` if matplotlib is not installed.
"""

from learnable_frontends.plotting.features import plot_features
from learnable_frontends.plotting.filters import (
    plot_center_frequencies,
    plot_frequency_responses,
    plot_kernels,
    plot_summed_response,
)
from learnable_frontends.plotting.information import plot_band_information
from learnable_frontends.plotting.learning import plot_center_history, plot_movement
from learnable_frontends.plotting.masks import plot_masks, plot_mean_masks
from learnable_frontends.plotting.relevance import plot_relevance

__all__ = [
    "plot_band_information",
    "plot_center_frequencies",
    "plot_center_history",
    "plot_features",
    "plot_frequency_responses",
    "plot_kernels",
    "plot_masks",
    "plot_mean_masks",
    "plot_movement",
    "plot_relevance",
    "plot_summed_response",
]
