"""Files as answers: what a person brings, and what the chart has that could be meant.

Bytes decide what a file is; the name and type that came along are only believed where they fit. Source: dtr:spec-52.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from gateway.errors import InputError, TooLarge
from gateway.fhir import Json
from gateway.reasoning.record import RecordSnapshot

MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one file."""
MAX_DOCUMENTS: Final = 50
"""Documents of the chart that are offered for one question."""
_MAGIC: Final[Mapping[str, tuple[bytes, ...]]] = {
    "application/pdf": (b"%PDF-",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
}
_HOLDERS: Final = ("DocumentReference", "DiagnosticReport", "Media")


def build_attachment(name: str, body: bytes, now: datetime) -> dict[str, Any]:
    """An answer `{"valueAttachment": …}` of a file's bytes.

    PDF, PNG, JPEG, TIFF and plain UTF-8 text are taken. Raises InputError `answer.file` for anything else or an empty
    file, TooLarge over `MAX_BYTES`.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge(f"The file is larger than the {MAX_BYTES // 1_048_576} MB that are taken.", code="answer.size")
    media_type = _media_type(body)
    if not media_type:
        text = "The file cannot be taken: PDF, PNG, JPEG, TIFF or plain text are."
        raise InputError(text, code="answer.file", status=422)
    attachment = {
        "contentType": media_type,
        "data": base64.b64encode(body).decode("ascii"),
        "size": len(body),
        "title": _title(name),
        "creation": now.isoformat(timespec="seconds"),
    }
    return {"valueAttachment": {key: value for key, value in attachment.items() if value != ""}}


def _media_type(body: bytes) -> str:
    for media_type, starts in _MAGIC.items():
        if body.startswith(starts):
            return media_type
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    is_plain = text.strip() and not any(ord(one) < 32 and one not in "\t\r\n\f" for one in text)
    return "text/plain" if is_plain and not text.lstrip("\ufeff \t\r\n").startswith("<") else ""


def _title(name: str) -> str:
    kept = "".join(one for one in name if one.isprintable())
    return kept.strip()[:120]


def chart_documents(record: RecordSnapshot) -> Iterator[tuple[str, dict[str, Any]]]:
    """(words for people, answer) for every document of the chart whose bytes are at hand, the newest first."""
    found = [(_when(holder), holder) for kind in _HOLDERS for holder in record.of_type(kind) if _is_in_force(holder)]
    count = 0
    for when, holder in sorted(found, key=lambda one: one[0], reverse=True):
        for attachment in _attachments(holder):
            whole = _with_bytes(attachment, record)
            if whole is not None and count < MAX_DOCUMENTS:
                count += 1
                yield f"{_words(holder, whole)}{f', {when[:10]}' if when else ''}", {"valueAttachment": whole}


def _is_in_force(holder: Json) -> bool:
    return holder.get("status") not in ("entered-in-error", "cancelled", "superseded")


def _when(holder: Json) -> str:
    named = (holder.get(key) for key in ("date", "issued", "createdDateTime", "effectiveDateTime"))
    return next((value for value in named if isinstance(value, str)), "")


def _attachments(holder: Json) -> Iterator[Json]:
    listed: list[Any] = list(holder.get("presentedForm") or ())
    content = holder.get("content")
    parts = content if isinstance(content, list | tuple) else [{"attachment": content}]
    listed += [part.get("attachment") for part in parts if isinstance(part, Mapping)]
    yield from (one for one in listed if isinstance(one, Mapping))


def _with_bytes(attachment: Json, record: RecordSnapshot) -> dict[str, Any] | None:
    """The attachment with its data, from a Binary of the record where it only names one; None without."""
    data, media_type = attachment.get("data"), attachment.get("contentType")
    if not data and isinstance(attachment.get("url"), str):
        binary = record.find("/".join(str(attachment["url"]).split("/")[-2:]))
        if binary is not None and binary.get("resourceType") == "Binary":
            data, media_type = binary.get("data"), binary.get("contentType") or media_type
    if not isinstance(data, str) or not data or len(data) > MAX_BYTES * 4 // 3 or not _is_base64(data):
        return None
    kept = {key: attachment[key] for key in ("language", "title", "creation") if key in attachment}
    return {**({"contentType": media_type} if media_type else {}), "data": data, **kept}


def _is_base64(data: str) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return True


def _words(holder: Json, attachment: Json) -> str:
    concept = holder.get("type") or holder.get("code")
    text = str(concept.get("text") or "") if isinstance(concept, Mapping) else ""
    return str(attachment.get("title") or holder.get("description") or text or holder.get("resourceType"))[:120]
