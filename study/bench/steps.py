"""A training step with orthonormality and modulation beside the same step without either."""

from collections.abc import Callable, Iterator

from study.bench.parts import step_parts
from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.subjects import METHOD, MODULATED, ORTHONORMAL, WITHOUT, Stepper
from study.bench.timing import clock_for, estimate, interleave, ratio

DEPTHS = (44, 110)
TARGETS = {8: 1.08, 32: 1.03}  # of the ratio, by image size
ROUNDS = {8: (60, 300), 32: (10, 40)}  # quick and thorough, by image size
PART_STEPS = {8: 20, 32: 4}
PLAIN, RECORDING, PENALTY, MODULATION, BOTH = "without", "recording", "penalty", "modulation", "both"
COMPILED = "compiled"  # left out of a quick bench on a CPU, where the compiler takes most of a minute a net
WORDS = {
    RECORDING: "recording error magnitudes alone",
    PENALTY: "orthonormality alone",
    MODULATION: "pairwise modulation alone",
    BOTH: "orthonormality and pairwise modulation",
}


def measure(setting: Setting) -> Iterator[Row]:
    """The ratio of each ingredient and of both, by depth and image size, and the parts of a step."""
    for size in TARGETS:
        for depth in DEPTHS:
            setting.say(f"plain-{depth} at {size}x{size}")
            yield from measure_step(setting, depth, size, setting.rounds(*ROUNDS[size]))


def measure_step(setting: Setting, depth: int, size: int, rounds: int) -> Iterator[Row]:
    """The rows of one net."""
    clock = clock_for(setting.device)
    subjects = _subjects(setting, depth, size)
    seconds = interleave(subjects, rounds, clock)
    where = f"plain-{depth}, {size}x{size}"
    milliseconds = estimate([1e3 * one for one in seconds[PLAIN]])
    yield Row(f"{where}: step without either", milliseconds, "ms", parts=_parts(subjects[PLAIN], size, clock))
    for name, words in WORDS.items():
        both = name == BOTH
        yield Row(
            f"{where}: {words}",
            ratio(seconds[name], seconds[PLAIN]),
            "x",
            Target(TARGETS[size]) if both and setting.on_cpu else None,
            _parts(subjects[name], size, clock) if both else {},
        )
    if COMPILED in subjects:
        yield Row(f"{where}: the last, compiled / not compiled", ratio(seconds[COMPILED], seconds[BOTH]), "x")


def _subjects(setting: Setting, depth: int, size: int) -> dict[str, Stepper]:
    fields = {PLAIN: WITHOUT, RECORDING: WITHOUT, PENALTY: ORTHONORMAL, MODULATION: MODULATED, BOTH: METHOD}
    if not (setting.quick and setting.on_cpu):
        fields[COMPILED] = METHOD | {"compile_step": True}
    return {
        name: Stepper(chosen | {"depth": depth}, size, setting.device, recording=name == RECORDING)
        for name, chosen in fields.items()
    }


def _parts(stepper: Stepper, size: int, clock: Callable[[], float]) -> dict[str, float]:
    return step_parts(stepper, PART_STEPS[size], clock)
