"""The page's blocks on importances: what stands out from chance, and what does not. Tables in, blocks out."""

from collections.abc import Iterator

import pandas as pd

from study.report.blocks import Block, table
from study.report.charts import bar_chart
from study.terminal import plural

METHOD_WORDS = {"fanova": "fANOVA: the whole space", "ped_anova": "PED-ANOVA: the best tenth"}
NOTHING = "Importance: nothing stands out from chance"
NOTE = (
    "The share of variance that a field explains alone: of the accuracy (fANOVA), of who is among the best tenth "
    "(PED-ANOVA). Drawn is what exceeds the most that noise reaches, for which the fields' own columns are dealt out "
    "anew; one page in twenty without any effect shows one. Bars: 90 % bootstrap intervals over trials."
)
INDEPENDENT = "random"  # The sampler whose trials are independent draws.


def importance_blocks(found: pd.DataFrame, sampler: str) -> Iterator[Block]:
    """Show the importances: a chart of what stands out, and a folded table of everything tested."""
    if found.empty:
        yield Block("Importance", "Too few drawn search trials, or all of them alike.")
        return
    remark = "" if sampler == INDEPENDENT else f"Trials of {sampler} are taken as independent draws."
    found = found.assign(words=found["method"].map(METHOD_WORDS))
    clear = found[found["stands_out"]]
    for scope, rows in clear.groupby("scope", sort=False):
        ends = ("low", "high")
        chart = bar_chart(rows, group="words", label="field", value="importance", ends=ends, x="share of variance")
        yield Block(
            f"Importance, {scope}", " ".join([*_said(found[found["scope"] == scope]), NOTE, remark]).strip(), chart
        )
    if clear.empty:
        yield Block(NOTHING, " ".join([*_said(found), NOTE, remark]).strip())
    columns = {
        **{"scope": "scope", "field": "field", "words": "method", "importance~low~high": "importance"},
        **{"null": "noise reaches", "p_value": "P, corrected", "trials": "trials"},
    }
    yield table("Every field and what noise reaches", found, columns, folded=True)


def _said(found: pd.DataFrame) -> Iterator[str]:
    """Over how many trials, and which fields do not stand out."""
    yield f"Over {plural(int(found['trials'].iloc[0]), 'drawn trial')}, the recipes' own points left out."
    clear = set(found.loc[found["stands_out"], "field"])
    others = [field.replace("_", " ") for field in dict.fromkeys(found["field"]) if field not in clear]
    if others:
        yield f"Not told from noise: {', '.join(others)}."
