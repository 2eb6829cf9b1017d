"""From a run's tables to a figure for a paper: `python results/walkthrough.py [RUN]`, in the folder above results/."""

import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

RUN = sys.argv[1] if len(sys.argv) > 1 else "results/reference/depth_sweep-quick"

# One row a training run. Only confirmed rows, each cell's best point on fresh seeds, make a headline.
trials = pd.read_parquet(f"{RUN}/trials")
confirmed = trials[trials["phase"] == "confirm"]

# A seed that diverged or failed has no accuracy: it counts as chance, or the recipes that fail most would gain by it.
score = confirmed["val_accuracy"].where(confirmed["status"] == "ok", 1 / confirmed["num_classes"])
cells = score.groupby([confirmed["recipe"], confirmed["depth"]]).agg(["mean", "std", "count"])
print(cells.round(3))

# The intervals of the report, and a comparison on equal seeds; pandas alone would do, but these are tested.
from study.analysis import answer, depth_curve  # noqa: E402
from study.comparison import paired_comparisons  # noqa: E402

curve = depth_curve(trials)
print(answer(trials))
print(paired_comparisons(trials)[["depth", "a", "b", "difference", "low", "high", "holm", "verdict"]].head(10))

# The figure: error on a log scale, because 0.98 and 0.99 are as far apart as 0.96 and 0.98.
figure = Figure(figsize=(5, 3.2), layout="constrained")
axes = figure.subplots()
for recipe, line in curve.groupby("recipe"):
    ends = np.clip([line["mean"] - line["low"], line["high"] - line["mean"]], 0, 0.999 * (1 - line["mean"].to_numpy()))
    axes.errorbar(line["depth"], 1 - line["mean"], ends[::-1], marker="o", capsize=2, label=recipe)
axes.set(xscale="log", yscale="log", xlabel="depth", ylabel="validation error", xticks=curve["depth"].unique())
axes.set_xticklabels(curve["depth"].unique())
axes.legend(fontsize=7)
figure.savefig("walkthrough.png", dpi=200)
