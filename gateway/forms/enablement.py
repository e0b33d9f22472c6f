"""Which items of a form are switched on for a response, for callers without a session."""

from __future__ import annotations

from gateway.fhir import Json
from gateway.forms.session import FormSession


def enabled_items(questionnaire: Json, response: Json) -> set[str]:
    """Addresses of the items that are switched on: the linkId, `linkId@1` in a later repetition.

    Expressions see the response alone. Raises InputError `form.circle` when switches form a circle.
    """
    session = FormSession.of_response(questionnaire)
    return session.enabled(session.sheet(response)).addresses
