"""The format of the runtime's log lines, for `logging`. Imported only where `logging` is in use."""

from __future__ import annotations

import logging

from ._log import timestamp
from ._values import text as json_text
from .context import BedrockAgentCoreContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict


class RequestContextFormatter(logging.Formatter):
    """Makes one JSON object of a record, with the ids of the request that it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line: Dict[str, Any] = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        request_id = BedrockAgentCoreContext.get_request_id()
        if request_id:
            line["requestId"] = request_id
        session_id = BedrockAgentCoreContext.get_session_id()
        if session_id:
            line["sessionId"] = session_id
        if record.exc_info and record.exc_info[0] is not None:
            import traceback

            kind, error, trace = record.exc_info
            line["errorType"] = kind.__name__
            line["errorMessage"] = str(error)
            line["stackTrace"] = traceback.format_exception(kind, error, trace)
            line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        return json_text(line)
