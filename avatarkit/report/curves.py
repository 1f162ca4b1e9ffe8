"""Curves of a run as SVG text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

Curve = tuple[Sequence[float], Sequence[float]]  # x, y


def curve_svg(curves: Mapping[str, Curve], x_label: str, y_label: str, *, log: bool = False) -> str:
    """Draw named curves into one SVG element that scales with the page.  ``log``: logarithmic y."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(
        {"font.size": 10, "svg.hashsalt": "avatarkit", "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure, axes = pyplot.subplots(figsize=(5.4, 3.0), layout="constrained")
        for name, (x, y) in curves.items():
            axes.plot(x, y, label=name, linewidth=1.6, marker="o" if len(x) < 25 else None, markersize=3)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if log:
            axes.set_yscale("log")
        axes.grid(alpha=0.25)
        if len(curves) > 1:
            axes.legend(frameon=False)
        buffer = io.StringIO()
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # no addresses in a page that stands alone
        figure.savefig(buffer, format="svg", metadata=unsaid)
        pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
