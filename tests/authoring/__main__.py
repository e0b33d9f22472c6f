"""`python -m tests.authoring [--check]`: translate the project's CQL and write the ELM, or only compare.

Installs the pinned public translator into a cache outside the project when it is not there yet.
"""

from __future__ import annotations

import sys

from tests.authoring.libraries import by_folder, elm_path, library_texts, write_elm
from tests.authoring.translator import (
    TranslationFailed,
    Translator,
    TranslatorMissing,
    find_translator,
    install_translator,
)


def main(arguments: list[str]) -> int:
    """0 done or equal, 1 different or not translatable, 2 usage, 3 no translator."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    try:
        return _run(_translator(), check_only=bool(arguments))
    except TranslatorMissing as error:
        print(f"No translator: {error}.", file=sys.stderr)
        return 3
    except TranslationFailed as error:
        print(error, file=sys.stderr)
        return 1


def _translator() -> Translator:
    try:
        return find_translator()
    except TranslatorMissing:
        install_translator()
        return find_translator()


def _run(translator: Translator, *, check_only: bool) -> int:
    different = 0
    for texts in by_folder(library_texts()).values():
        contents = {text.stem: text.read_text("utf-8") for text in texts}
        found = translator.translate(contents)
        for text in texts:
            new = write_elm(found[text.stem], contents[text.stem])
            old = elm_path(text).read_text("utf-8") if elm_path(text).exists() else ""
            different += new != old
            print(f"{text.parent.parent.name}/{text.stem}: {'unchanged' if new == old else 'changed'}")
            if not check_only:
                elm_path(text).write_text(new, "utf-8")
    return 1 if check_only and different else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
