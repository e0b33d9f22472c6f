"""The committed ELM is what the CQL beside it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.reasoning.elm import LibrarySet, load_library
from tests.authoring.libraries import by_folder, digest_of, elm_path, library_texts, recorded_digest, write_elm
from tests.authoring.translator import TranslatorMissing, find_translator

TEXTS = library_texts()


def _name(text: Path) -> str:
    return f"{text.parent.parent.name}/{text.stem}"


@pytest.mark.parametrize("text", TEXTS, ids=_name)
def test_elm_names_the_digest_of_its_text(text: Path) -> None:
    elm = json.loads(elm_path(text).read_text("utf-8"))
    assert recorded_digest(elm) == digest_of(text.read_text("utf-8")), "run python -m tests.authoring"
    assert elm["library"]["identifier"]["id"] == text.stem


@pytest.mark.parametrize("folder", by_folder(TEXTS), ids=lambda folder: folder.parent.name)
def test_translating_again_gives_the_same_elm(folder: Path) -> None:
    try:
        translator = find_translator()
    except TranslatorMissing as error:
        pytest.skip(f"no CQL translator here: {error}")
    texts = {text.stem: text.read_text("utf-8") for text in by_folder(TEXTS)[folder]}
    for name, elm in translator.translate(texts).items():
        assert (folder / f"{name}.json").read_text("utf-8") == write_elm(elm, texts[name]), name


@pytest.mark.parametrize("folder", by_folder(TEXTS), ids=lambda folder: folder.parent.name)
def test_every_define_compiles(folder: Path) -> None:
    libraries = LibrarySet([load_library(elm_path(text).read_bytes()) for text in by_folder(TEXTS)[folder]])
    for library in libraries.libraries:
        for define in [*library.defines.values(), *(one for group in library.functions.values() for one in group)]:
            define.prepared()
