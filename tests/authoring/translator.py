"""The public CQL translator: found in a cache outside the project, run as a process of its own.

A developer tool. The product never translates CQL; it runs the ELM that is committed beside the text.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import shared_folder

PACKAGE = "@cqframework/cql"
VERSION = "5.3.0"
"""Pinned, and it pins what it needs itself: another translator may write other ELM."""
_SCRIPT = Path(__file__).with_name("translate.mjs")
_MODELS = {"System|": "system-modelinfo.xml", "FHIR|4.0.1": "fhir-modelinfo-4.0.1.xml"}


class TranslatorMissing(Exception):
    """The translator cannot be run here; the text says what is missing."""


class TranslationFailed(Exception):
    """The translator found errors in the CQL; the text lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """A translator that is ready to run."""

    home: Path
    """Folder that holds `node_modules`."""
    models: Mapping[str, str]
    """Model info as XML by `name|version`."""

    def translate(self, texts: Mapping[str, str]) -> dict[str, str]:
        """ELM JSON text by library name. Raises `TranslationFailed` with `library: line:column: message` lines."""
        given = json.dumps({"models": self.models, "libraries": texts})
        command = ["node", str(_SCRIPT), str(self.home), *texts]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise TranslationFailed(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        errors = [
            f"{name}: {problem}"
            for name, one in found.items()
            for problem in one["problems"]
            if problem.startswith("Error")
        ]
        if errors:
            raise TranslationFailed("\n".join(errors))
        return {name: one["elm"] for name, one in found.items()}


def cache_folder() -> Path:
    """Where the package is kept; PA_GATEWAY_AUTHORING overrides."""
    return Path(os.environ.get("PA_GATEWAY_AUTHORING", Path.home() / ".cache" / "pa-gateway-authoring"))


def find_translator() -> Translator:
    """The translator of the pinned version. Raises `TranslatorMissing` that says what to do."""
    if shutil.which("node") is None:
        raise TranslatorMissing("node is not installed")
    home = cache_folder()
    if _installed_version(home) != VERSION:
        raise TranslatorMissing(f"{PACKAGE} {VERSION} is not installed; run python -m tests.authoring")
    folder = shared_folder() / "modelinfo"
    if not folder.is_dir():
        raise TranslatorMissing("the public model info is not in shared/modelinfo beside the project")
    return Translator(home=home, models={key: (folder / name).read_text("utf-8") for key, name in _MODELS.items()})


def install_translator() -> None:
    """Fetch the pinned package into the cache, by the ordinary npm client. Raises `TranslatorMissing`."""
    if shutil.which("npm") is None:
        raise TranslatorMissing("npm is not installed")
    home = cache_folder()
    home.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run([*command, f"{PACKAGE}@{VERSION}"], capture_output=True, text=True, check=False)
    if done.returncode or _installed_version(home) != VERSION:
        raise TranslatorMissing(f"npm could not install {PACKAGE} {VERSION}: {done.stderr[-500:]}")


def _installed_version(home: Path) -> str:
    try:
        content = json.loads((home / "node_modules" / PACKAGE / "package.json").read_text("utf-8"))
    except OSError:
        return ""
    return str(content.get("version", ""))
