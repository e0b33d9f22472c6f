"""The wording file of the settings, read once and checked against the questionnaire it is for."""

from __future__ import annotations

from gateway.clinical.instruments import Instrument, MeasureForm, instruments
from gateway.clinical.wording import (
    GENERIC,
    LicensedWording,
    WordingProvider,
    choose_wording,
    read_wording,
    wording_source,
)
from gateway.errors import SettingsError
from gateway.fhir import Json
from gateway.settings import Settings


def load_wording(settings: Settings) -> LicensedWording | None:
    """Licensed words of `instruments.wording_file`; None without one.

    Raises SettingsError that names the file and the key: unreadable, not JSON, no licence reference, a question
    without words.
    """
    path = settings.instruments.wording_file
    if path is None:
        return None
    try:
        raw = path.read_bytes()
    except OSError as error:
        problem = f"instruments.wording_file: {path} cannot be read ({type(error).__name__})."
        raise SettingsError(problem, code="wording.file") from None
    return read_wording(raw, worded_form().questionnaire, f"instruments.wording_file: {path.name}")


def worded_form() -> Instrument:
    """The packaged questionnaire whose words are licensed."""
    return next(item for item in instruments() if isinstance(item.template, MeasureForm) and item.template.wording)


def words_of(
    licensed: LicensedWording | None, instrument: Instrument, *, is_production: bool
) -> WordingProvider | None:
    """Whose words an instrument is shown in; None for one whose words are our own."""
    if not isinstance(instrument.template, MeasureForm) or not instrument.template.wording:
        return None
    return choose_wording(licensed, is_production=is_production)


def counts_here(settings: Settings, resource: Json) -> bool:
    """Whether a resource of a chart may be looked at: in production none that was answered in generic words.

    Asked where charts are read, so that neither a rule nor a payer's form nor a packet ever rests on one.
    """
    return settings.server.mode != "production" or wording_source(resource) != GENERIC
