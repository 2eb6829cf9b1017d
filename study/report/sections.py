"""The sections of a report page on accuracy and on comparisons, for one data set. Tables in, blocks out."""

from collections.abc import Iterator

from study.analysis.comparison import MARGIN, interquartile_means
from study.analysis.images import ENOUGH_IMAGES, image_error, images_behind
from study.analysis.outcomes import EVALUATION_MARGIN, FAILURES, GENERALIZATION_MARGIN, MEANS
from study.analysis.scores import METRICS
from study.analysis.trainability import loss_bands, loss_fits
from study.analysis.words import share_words
from study.report.blocks import Block, Section, table
from study.report.charts import band_chart, curve_chart, dot_chart
from study.report.lines import line_names
from study.report.part import Part
from study.terminal import plural

NOT_YET = "No cell is confirmed yet."
SHORT = 24  # A table of more rows than this is folded.
WORDS = METRICS["val_accuracy"].words
IMAGE_ERROR = "images' own error, \N{PLUS-MINUS SIGN}"
LIMIT_WORDS = {
    "logistic": "logistic fit, profile-likelihood interval",
    "bracket": "the depths separate the outcomes: it lies somewhere between",
    "beyond": "every seed gets there at every depth: it lies beyond",
    "below": "no seed gets there at any depth: it lies below",
    "flat": "no clear trend over depth: no limit",
    "between": "most seeds get there at these depths, and fewer both below and above",
    "rising": "deeper nets get there more often: no limit",
}
SEEDS_ONLY = "Intervals are over seeds: they leave out the draw of the validation images, which all seeds share."
CURVE_NOTE = (
    "Mean over confirmed seeds with its 95 % interval (Student's t below ten seeds, bootstrap from there). A seed "
    "that diverged counts as chance and is marked; one that failed for the environment's reasons counts nowhere. "
    f"Equal steps halve the error. {SEEDS_ONLY}"
)
NUMBERS_NOTE = (
    "A seed has trained when it did not diverge and covers half of the way from chance to 1. How many did, with the "
    "exact interval of their share among all seeds (Clopper and Pearson), and the mean of those alone (Student): "
    "failures that happened in none of a few seeds widen the first and are not in the second. Cells are ranked, "
    "paired and drawn by the mean over all."
)
IMAGES_NOTE = " The images' own error: half the width of the 95 % interval that {images:.0f} images leave (binomial)."
OUTCOME_NOTE = (
    "Means over the seeds that did not diverge, and how many seeds fail at which step; the first failure counts. A "
    "seed learns when its training accuracy in the last epoch covers half of the way from chance to 1; it evaluates "
    f"unless validation images do more than {EVALUATION_MARGIN:.0%} better when each batch is normalised by its own "
    f"statistics; it generalises unless it loses more than {GENERALIZATION_MARGIN:.0%} from training to validation."
)
LIMIT_NOTE = (
    "The depth at which half of the seeds still reach half of the way from chance to 1, which an adaptive sweep's own "
    "rule may define otherwise. Intervals are over seeds, given each cell's tuned settings."
)
FIT_NOTE = (
    "Least squares of log2(1 - accuracy), over seeds; the model with the lowest AICc is chosen, its weight says how "
    "clearly. A small lack-of-fit P means that the depths miss the line by more than the seeds scatter: read the line "
    "as a summary, not a law. Bands are pointwise, 95 %."
)
PAIR_NOTE = (
    "On equal seeds, a diverged one as chance. The difference has Student's interval (from ten pairs on a "
    "bootstrap's), then a bootstrap-t one. P values of the paired t test, corrected by Holm over the whole table. "
    "That one side is better needs five pairs, both intervals to leave out 0 and a corrected P below 0.05. That "
    f"both are level needs five pairs, {ENOUGH_IMAGES:,} images or more, and the 90 % interval within {MARGIN:g} of "
    "0 (two one-sided tests); it knows nothing of failures that happened in none of these seeds. Everything else is "
    "not told apart. Wins: the share of seeds on which the first is better, with Wilson's interval."
)
IQM_NOTE = (
    "Mean of the middle half of all seeds, with a bootstrap interval stratified by cell, from five seeds a cell on. "
    "Over the {points} of {within} at which every {between} is confirmed, and no other."
)


def curve_section(part: Part, anchor: str) -> Section:
    """The numbers, what became of the seeds, trainability limits and fits of the loss."""
    if part.curve.empty:
        return Section(anchor, "Accuracy", NOT_YET)
    first, *others = part.scales_of(part.curve) or [""]
    blocks = [*(_against(part, scale) for scale in others), _numbers(part), *_outcomes(part)]
    if part.has_depths:
        blocks += [_limits(part), *_fits(part)]
    return Section(anchor, f"Accuracy against {_words(first)}" if first else "Accuracy", CURVE_NOTE, blocks)


def picture(part: Part) -> Block:
    """The one picture that answers the question: against the first numeric axis that the sweep compares."""
    if part.curve.empty:
        return Block("", NOT_YET)
    scales = part.scales_of(part.curve)
    if scales:
        return _against(part, scales[0])
    ranked = part.curve.sort_values("mean", ascending=False)
    several = [name for name in part.names if ranked[name].nunique(dropna=False) > 1] or part.names
    labels = line_names(ranked, several).tolist()
    chart = dot_chart(labels, ranked, ("mean", "low", "high"), WORDS, styles=part.styles.of_rows(ranked))
    return Block("Cells", "Best first.", chart)


def _against(part: Part, scale: str) -> Block:
    chart = curve_chart(part.curve, part.styles_by(scale), WORDS, part.levels, scale)
    return Block(f"Accuracy against {_words(scale)}", "", chart)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _numbers(part: Part) -> Block:
    numbers = part.tested_curve
    images = images_behind([part.dataset], "val_accuracy")
    columns = {name: name for name in part.names} | {
        **{"mean~low~high": f"{WORDS}, all seeds", "share": "trained"},
        **{"trained_mean~trained_mean_low~trained_mean_high": "mean of the trained", "image_error": IMAGE_ERROR},
        **{"mean_test~low_test~high_test": "test accuracy, all seeds", "seeds": "seeds", "diverged": "diverged"},
        **{"at_chance": "at chance", "learning_rate": "learning rate", "activation_slope": "activation slope"},
    }
    shown = numbers.assign(
        share=[share_words(cell) for _, cell in numbers.iterrows()],
        image_error=[image_error([mean], images) for mean in numbers["mean"]],
    )
    note, columns = _with_images(NUMBERS_NOTE, columns, images)
    return table("The numbers", shown, columns, note=note, folded=len(numbers) > SHORT)


def _with_images(note: str, columns: dict[str, str], images: float) -> tuple[str, dict[str, str]]:
    """A table's note and columns with the images' own error, or without it where they are enough or unknown."""
    if images < ENOUGH_IMAGES:
        return note + IMAGES_NOTE.format(images=images), columns
    return note, {name: words for name, words in columns.items() if name != "image_error"}


def _outcomes(part: Part) -> Iterator[Block]:
    """What became of the seeds, where the run has measured what tells it."""
    outcomes = part.outcomes
    if outcomes[MEANS[0]].isna().all():
        return
    columns = {name: name for name in part.names} | {
        **dict(zip(MEANS, ("training accuracy", "validation, batch statistics", WORDS), strict=True)),
        **{"diverged": "diverged", **FAILURES, "seeds": "of seeds"},
    }
    yield table("Learns, evaluates, generalises", outcomes, columns, note=OUTCOME_NOTE, folded=len(outcomes) > SHORT)


def _limits(part: Part) -> Block:
    limits = part.limits.assign(
        how=part.limits["method"].map(LIMIT_WORDS),
        **{name: part.limits[name].round(0) for name in ("limit", "low", "high")},
    )
    columns = {name: name for name in part.lines}
    columns |= {"limit~low~high": "depth", "how": "how it is known", "trained": "seeds that get there", "seeds": "of"}
    return table("Trainability limit", limits, columns, note=LIMIT_NOTE)


def _fits(part: Part) -> Iterator[Block]:
    fits = loss_fits(part.trials, by=part.lines)
    if fits.empty:
        return
    bands = loss_bands(part.trials, by=part.lines)
    yield Block("Error against depth, fitted", FIT_NOTE, band_chart(bands, part.curve, part.styles, WORDS))
    chosen = fits[fits["chosen"]]
    columns = {name: name for name in part.lines} | {
        **{"model": "model", "weight": "its Akaike weight", "exponent~exponent_low~exponent_high": "exponent"},
        **{"lack_of_fit": "lack of fit, P", "depths": "depths", "seeds": "seeds"},
    }
    yield table("Chosen models", chosen, columns, folded=True)


def comparison_section(part: Part, anchor: str) -> Section:
    """Recipes, or the values of another axis, against each other on equal seeds."""
    between = part.contrast
    if between is None:
        return Section(anchor, "Comparisons", "Nothing to compare: only depths differ, if anything.")
    if part.pairs.empty:
        return Section(anchor, "Comparisons", "No two cells are confirmed on equal seeds yet.")
    within = part.within
    pairs = part.pairs.sort_values(within, ascending=False, kind="stable")
    deepest = pairs[(pairs[within] == pairs[within].iloc[0]).all(axis=1)] if within else pairs
    labels = [f"{a} - {b}" for a, b in zip(deepest["a"], deepest["b"], strict=True)]
    place = ", ".join(f"{name} {deepest[name].iloc[0]}" for name in within)
    chart = dot_chart(labels, deepest, ("difference", "low", "high"), "difference", zero=True)
    columns = {name: name for name in within} | {
        **{
            "a": "higher mean",
            "b": "against",
            "difference~low~high": "difference",
            "bootstrap_low~bootstrap_high": "bootstrap-t",
            "level_low~level_high": "90 %",
            "image_error": IMAGE_ERROR,
            "beats~beats_low~beats_high": "wins",
        },
        **{"holm": "P, corrected", "pairs": "pairs", "verdict": "verdict"},
    }
    note, columns = _with_images(PAIR_NOTE, columns, images_behind([part.dataset], "val_accuracy"))
    blocks = [
        Block(f"Differences at {place}" if place else "Differences", "", chart),
        table("Every pair", pairs, columns, folded=len(pairs) > SHORT),
        _middle_means(part, between, within),
    ]
    return Section(anchor, "Comparisons", note, blocks)


def _middle_means(part: Part, between: str, within: list[str]) -> Block:
    means = interquartile_means(part.trials, by=[between], strata=within).sort_values("mean", ascending=False)
    title, settings = "Interquartile means", ", ".join(within)
    if means.empty:
        return Block(title, f"Not shown: at no {settings} is every {between} confirmed.")
    note = IQM_NOTE.format(points=plural(int(means["points"].iloc[0]), "point"), within=settings, between=between)
    columns = {between: between, "mean~low~high": WORDS, "seeds": "seeds"}
    return table(title, means, columns, note=note if within else IQM_NOTE.partition(" Over the")[0])
