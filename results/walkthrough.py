"""From a run's tables to a figure for a paper: `python results/walkthrough.py [RUN]`, in the folder above results/.

RUN is a name under results/ or results/reference/, or a path.
"""

import sys

import pandas as pd
from matplotlib.figure import Figure

from study.records import locate_run

RUN = sys.argv[1] if len(sys.argv) > 1 else "depth_sweep-quick"

try:
    folder = locate_run(RUN).root
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

# One row a training run. Only confirmed rows, each cell's best point on fresh seeds, make a headline.
trials = pd.read_parquet(f"{folder}/trials")
confirmed = trials[trials["phase"] == "confirm"]

# A seed that diverged has no accuracy: it counts as chance, or the recipes that diverge most would gain by it. By cell:
# other columns may leave something out that the run compared.
score = confirmed["val_accuracy"].mask(confirmed["status"] == "diverged", 1 / confirmed["num_classes"])
cells = score.groupby([confirmed["run"], confirmed["cell"]]).agg(["mean", "std", "count"])
print(cells.round(3))

# The intervals of the report, and a comparison on equal seeds; pandas alone would do, but these are tested.
from study.analysis import answer, depth_curve, paired_comparisons  # noqa: E402

curve = depth_curve(trials)
print(answer(trials))
pairs = paired_comparisons(trials).query("depth == depth.max()")
print(pairs[["a", "b", "difference", "low", "high", "holm", "verdict"]].round(3).to_string(index=False))

# The figure: error on a log scale, because 0.98 and 0.99 are as far apart as 0.96 and 0.98.
figure = Figure(figsize=(5, 3.2), layout="constrained")
axes = figure.subplots()
for recipe, line in curve.groupby("recipe"):
    error, low, high = 1 - line["mean"], 1 - line["high"].clip(upper=0.999), 1 - line["low"]
    axes.errorbar(line["depth"], error, [error - low, high - error], marker="o", ms=4, capsize=2, label=recipe)
axes.set(xscale="log", yscale="log", ylim=(0.005, 1), xlabel="depth", ylabel="validation error")
axes.set_xticks(curve["depth"].unique(), curve["depth"].unique())
axes.minorticks_off()
axes.legend(fontsize=7)
figure.savefig("walkthrough.png", dpi=200)
