"""What the compared recipes are: a block of the page. Tables in, a block out."""

import search_spaces.recipes
from study.analysis.scores import comparable
from study.config import HOUSEKEEPING, TrialConfig
from study.report.blocks import Block, distinct
from study.report.opened_run import OpenedRun
from study.report.part import Part

NOTE = (
    "A recipe is a bundle of settings under one name: here are those in which the recipes differ, beside what each "
    "searches. Activation slope: what a leaky ReLU multiplies negative inputs by. At 0 it is a ReLU; near 1 a deep net "
    "is nearly a linear model."
)
ALONE = ("recipe", "seed", *HOUSEKEEPING)


def recipe_blocks(run: OpenedRun, part: Part) -> list[Block]:
    """A folded table of the recipes, where several are compared."""
    if "recipe" not in part.axes or part.trials["recipe"].nunique() < 2:
        return []
    told = {*part.axes, *run.knobs, *ALONE, *(name for fields, _ in run.search_fixed.values() for name in fields)}
    fields = [name for name in TrialConfig.model_fields if name in part.trials and name not in told]
    settings = part.trials.assign(**{name: comparable(part.trials[name]) for name in fields}).sort_values("depth")
    recipes = {str(name): rows for name, rows in settings.groupby("recipe")}
    cells = {name: [distinct(rows[name]) for rows in recipes.values()] for name in fields}
    columns = {name.replace("_", " "): texts for name, texts in cells.items() if len(set(texts)) > 1}
    columns = {"recipe": list(recipes), **columns, "in words": [words_of(run, name) for name in recipes]}
    shown = {name: texts for name, texts in columns.items() if any(texts)}
    rows = [list(row) for row in zip(*shown.values(), strict=True)]
    return [Block("The recipes, and what a slope is", NOTE, columns=list(shown), rows=rows, folded=True)]


def words_of(run: OpenedRun, recipe: str) -> str:
    """What a shipped recipe says of itself; a user's own file may give its name to another."""
    shipped = None if run.facts.get("sweep_file") else getattr(search_spaces.recipes, recipe, None)
    return (getattr(shipped, "__doc__", None) or "").partition("\n")[0].replace("`", "")
