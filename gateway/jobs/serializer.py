"""What a job may look like at rest: a JSON list of ids. No pickle is written, and none is read."""

from __future__ import annotations

import json
from typing import Any

from dbos import Serializer

from gateway.errors import InputError, IntegrityError
from gateway.jobs.port import require_job
from gateway.jobs.run import JobFailed


class IdsOnly(Serializer):  # type: ignore[misc, unused-ignore]
    """Serializer for DBOS that knows ids, "nothing" and a failure's class; all else is refused."""

    def name(self) -> str:
        """The word stored beside each row."""
        return "gateway_ids"

    def serialize(self, data: Any) -> str:
        """`{"ids": […]}` for arguments, `null` for a result, `{"failed": class}` for an exception."""
        if data is None:
            return "null"
        if isinstance(data, JobFailed):
            return json.dumps({"failed": data.error})
        if isinstance(data, BaseException):
            return json.dumps({"failed": type(data).__name__})
        if isinstance(data, dict) and data.keys() == {"args", "kwargs"} and not data["kwargs"]:
            require_job("job", tuple(data["args"]), "key", "")
            return json.dumps({"ids": list(data["args"])}, separators=(",", ":"))
        raise InputError("A job keeps ids and nothing else.", code="jobs.ids")

    def deserialize(cls, serialized_data: str) -> Any:
        """The reverse; raises IntegrityError for anything `serialize` does not write."""
        try:
            found = json.loads(serialized_data)
        except ValueError:
            raise IntegrityError("A stored job cannot be read.", code="integrity.job") from None
        if found is None:
            return None
        if isinstance(found, dict) and isinstance(found.get("failed"), str):
            return JobFailed(found["failed"])
        if isinstance(found, dict) and isinstance(found.get("ids"), list):
            ids = tuple(found["ids"])
            require_job("job", ids, "key", "")
            return {"args": ids, "kwargs": {}}
        raise IntegrityError("A stored job cannot be read.", code="integrity.job")
