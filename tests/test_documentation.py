"""What the documents promise is there: links lead somewhere, Python runs, and every command is understood."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from study.bench.__main__ import build_parser as bench_parser
from study.cluster.__main__ import build_parser as cluster_parser
from study.datasets.__main__ import build_parser as datasets_parser
from study.planning.names import check_names
from study.planning.plan import make_plan
from study.report.__main__ import build_parser as report_parser
from study.run import build_parser as run_parser
from study.store.schemas import SCHEMAS
from study.sweeps import load_sweep
from study.training.own_parts import joined
from study.training.part_checks import checked

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")]
DOCUMENTS = [*PAGES, *sorted((ROOT / "docs").glob("*.md"))]
ALL_DOCUMENTS = pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


def understood_by_cluster(words: list[str]) -> None:
    options = cluster_parser().parse_args(words)
    if options.command == "submit":
        run_parser().parse_args(options.run)


PARSERS: dict[str, Callable[[list[str]], object]] = {
    "study.bench": lambda words: bench_parser().parse_args(words),
    "study.cluster": understood_by_cluster,
    "study.datasets": lambda words: datasets_parser().parse_args(words),
    "study.report": lambda words: report_parser().parse_args(words),
    "study.run": lambda words: run_parser().parse_args(words),
}
OTHERS = {".", "apt-get", "export", "ray"}
"""First words of commands that are not ours."""


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a document's shell blocks, as words; variables that stand before a command are left out."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_explained(table: str) -> None:
    section = (ROOT / "results" / "README.md").read_text().partition(f"## `{table}`")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    assert set(SCHEMAS[table].names) <= explained


@ALL_DOCUMENTS
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@ALL_DOCUMENTS
def test_python_blocks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for example in Document.parse(str(path), PythonCodeBlockParser(), SkipParser()).examples():
        example.evaluate()


@ALL_DOCUMENTS
def test_every_command_is_understood(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands(path.read_text()):
        match words:
            case ["make", target]:
                assert target in targets, words
            case ["python", "-m", module, *rest]:
                PARSERS[module](rest)
            case ["ray", "job", "submit", *rest]:
                assert rest[rest.index("--") + 1 :][:3] == ["python", "-m", "study.run"]
                run_parser().parse_args(rest[rest.index("--") + 4 :])
            case [other, *_]:
                assert other in OTHERS, words


@pytest.mark.parametrize("page", ["README.md", "docs/own-parts.md"])
def test_a_pages_own_sweep_is_one(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (tmp_path / "my_sweep.py").write_text(next(block for block in blocks if "Sweep(" in block))
    named = load_sweep(str(tmp_path / "my_sweep.py"))
    with joined(checked(named.sweep.parts)):
        check_names(make_plan(named))
