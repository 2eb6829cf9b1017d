"""How long readers and the report take with a large made-up run, in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from study.bench.rows import Row, Target
from study.bench.setting import Setting

PROGRAM = """\
import json, sys
from study.bench.generated_run import measure_readers
from study.store.storage import Storage
print(json.dumps(measure_readers(Storage.at(sys.argv[1]))))"""

ROWS = {  # key of `measure_readers`: words, unit, target
    "read_trials_seconds": ('read_table("trials")', "s", Target(1.0)),
    "depth_curve_seconds": ("depth curves", "s", Target(3.0)),
    "report_seconds": ("report", "s", Target(60.0)),
    "report_megabytes": ("size of the report", "MB", Target(8.0)),
    "peak_memory_megabytes": ("peak memory of the process", "MB", Target(2_000.0)),
}


def measure(setting: Setting) -> Iterator[Row]:
    """A row each; the run has the same size at every pace."""
    setting.say("a run of 10,000 trials")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, f"{folder}/large"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    measured = json.loads(answer.stdout)
    sizes = " + ".join(f"{measured[f'{name}_rows']:,.0f} {name}" for name in ("trials", "epochs", "layers"))
    for key, (words, unit, target) in ROWS.items():
        yield Row(f"{sizes}: {words}", measured[key], unit, target)
