"""The numbers of the texts are those of the committed tables, and one that has drifted is found."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "results" / "findings.py"
TEXT = "Our recipe reaches\n**0.979** [0.966, 0.993], the twin 0.978.\n"
SENTENCE = "reaches **0.979** [0.966, 0.993], the twin 0.978."


@pytest.fixture(scope="module")
def findings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("findings", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["findings"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.md"
    path.write_text(TEXT)
    return path


def test_every_number_of_the_texts_is_that_of_the_tables(
    findings: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings.main([]) == 0, capsys.readouterr().out


def test_a_text_with_the_numbers_of_the_tables_is_right(findings: ModuleType, text: Path) -> None:
    assert list(findings.check(text, [SENTENCE], write=False)) == []


def test_a_number_that_has_drifted_is_found_and_corrected(findings: ModuleType, text: Path) -> None:
    today = SENTENCE.replace("0.978", "0.971")
    (line,) = findings.check(text, [today], write=False)
    assert line.startswith("drifted: ")
    assert text.read_text() == TEXT
    assert [line.split(":")[0] for line in findings.check(text, [today], write=True)] == ["corrected"]
    assert text.read_text() == TEXT.replace("0.978", "0.971")
    assert list(findings.check(text, [today], write=False)) == []


def test_a_sentence_with_other_words_and_a_number_of_no_finding_are_found(findings: ModuleType, text: Path) -> None:
    lines = list(findings.check(text, [SENTENCE.replace("the twin", "its twin")], write=False))
    assert [line.split(":")[0] for line in lines] == [
        "missing",
        *(f"no finding has {number}" for number in ("0.979", "0.966", "0.993", "0.978")),
    ]
