"""Owns the look of the pictures: one SVG each, the same bytes for the same figures."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.rig.report import Picture

OURS, PEER, BOUND = "#2a6f6b", "#b9b4a7", "#b3412f"


def draw(picture: Picture, path: Path) -> None:
    """Draw on paper of its own: no display, no state of pyplot."""
    with mpl.rc_context({"svg.hashsalt": "parcours", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(picture.width, picture.height), layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        picture.draw(axes)
        figure.savefig(path, format="svg", metadata={"Date": None})
