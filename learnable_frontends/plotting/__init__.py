"""Pictures of front-ends in Hz and seconds: centers, responses, kernels, features, masks, and learning.

Every function draws into ``ax`` and returns ``(fig, ax)``. Without ``ax`` it makes a figure that `matplotlib.pyplot`
does not know, so none has to be closed: save it with ``fig.savefig("picture.png")``. For a window pass an ``ax`` of
``plt.subplots()``. Lines differ in color (Okabe and Ito's) and in marker or dashes. All raise ``ModuleNotFoundError``
where matplotlib is missing.
"""

from learnable_frontends.plotting.clips import plot_features, plot_masks, plot_mean_masks, plot_relevance
from learnable_frontends.plotting.filters import (
    plot_center_frequencies,
    plot_frequency_responses,
    plot_kernels,
    plot_summed_response,
)
from learnable_frontends.plotting.learning import plot_center_history, plot_movement

__all__ = [
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
