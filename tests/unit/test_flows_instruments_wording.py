"""The wording file of the settings: read at start, and refused with its place when something is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.commands import build_cli
from gateway.clinical.instruments import require_instrument
from gateway.errors import SettingsError
from gateway.flows.instruments_wording import counts_here, load_wording, worded_form, words_of
from gateway.settings import Settings
from tests.unit.test_clinical_wording import wording_file


def settings(path: Path | None, mode: str = "demonstration") -> Settings:
    return Settings.model_validate({"instruments": {"wording_file": path}, "server": {"mode": mode}})


def test_without_a_file_there_is_no_licence() -> None:
    assert load_wording(settings(None)) is None
    assert worded_form().slug == "ndi"


def test_a_file_with_a_licence_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(json.dumps(wording_file()), "utf-8")
    found = load_wording(settings(path))
    assert found is not None
    assert found.licence == "SYN-LICENCE-1"
    assert words_of(found, require_instrument("ndi"), is_production=True) is found
    assert words_of(found, require_instrument("psfs"), is_production=True) is None, "these words are our own"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), ("{", "not JSON"), (json.dumps(wording_file(licence=None)), "licence")],
)
def test_a_file_at_fault_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "words.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_wording(settings(path))
    assert words in refused.value.diagnostics()
    assert "words.json" in refused.value.diagnostics()


def test_settings_check_says_what_is_wrong(tmp_path: Path) -> None:
    words, file = tmp_path / "words.json", tmp_path / "settings.toml"
    words.write_text(json.dumps(wording_file(licence="")), "utf-8")
    file.write_text(f'[instruments]\nwording_file = "{words}"\n', "utf-8")
    done = CliRunner().invoke(build_cli(), ["settings", "check", "--settings", str(file)])
    assert done.exit_code != 0
    said = done.output + (str(done.exception.diagnostics()) if isinstance(done.exception, SettingsError) else "")
    assert "licence" in said


@pytest.mark.parametrize(("mode", "counts"), [("demonstration", True), ("production", False)])
def test_answers_to_generic_words_count_in_a_demonstration_alone(mode: str, counts: bool) -> None:
    from gateway.clinical.wording import stamp

    response = {"resourceType": "QuestionnaireResponse", "extension": [stamp("neutral-demo")]}
    assert counts_here(settings(None, mode), response) is counts
    assert counts_here(settings(None, mode), {"resourceType": "QuestionnaireResponse"})
