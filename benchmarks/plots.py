"""The cost of one call as sizes grow, drawn with Matplotlib: the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .results import Row
from .workloads import Case, Workload

STYLES = {"matcalc": ("C0", "o", "-"), "expert": ("C1", "s", "--"), "jax": ("C2", "^", ":")}


def growing(workload: Workload) -> str:
    """The size that is not the same in all points of the plot."""
    (name,) = (name for name in workload.growth[0] if len({sizes[name] for sizes in workload.growth}) > 1)
    return name


def draw(workload: Workload, rows: Sequence[Row], destination: Path) -> None:
    """Write the plot of a workload as SVG."""
    name = growing(workload)
    fixed = ", ".join(f"{key} = {size}" for key, size in workload.growth[0].items() if key != name)
    by_label = {row.label: row for row in rows}
    with mpl.rc_context({"svg.hashsalt": workload.name, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for peer, (colour, marker, line) in STYLES.items():
            points = []
            for sizes in workload.growth:
                row = by_label.get(Case(workload, sizes).label)
                if row and peer in row.timings:
                    points.append((sizes[name], row.timings[peer].seconds))
            if points:
                axes.loglog(*zip(*points, strict=True), color=colour, marker=marker, linestyle=line, label=peer)
        axes.set_title(workload.name + (f" ({fixed})" if fixed else ""))
        axes.set_xlabel(name)
        axes.set_ylabel("seconds of one call")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend()
        figure.savefig(destination, format="svg", metadata={"Date": None, "Creator": None})
