"""Debug actions: questions and commands to the app itself, inside an invocation. Only apps in debug mode have them."""

from __future__ import annotations

from . import _log, models
from .models import PingStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    from ._health import Health

KEY = "_agent_core_app_action"


def perform(app: Health, payload: Any) -> Optional[Tuple[int, Dict[str, Any]]]:
    """Returns status and answer of the action that a payload asks for; `None` if it asks for none."""
    if not isinstance(payload, dict):
        return None
    action = payload.get(KEY)
    if not action:
        return None
    if _log.is_enabled(_log.DEBUG):
        _log.emit(_log.DEBUG, f"Processing debug action: {action}")
    try:
        hash(action)
        answer = _perform(app, action)
    except Exception as error:
        _log.emit(_log.ERROR, f"Debug action '{action}' failed", error)
        return 500, {"error": "Debug action failed", "details": str(error)}
    if answer is None:
        _log.emit(_log.WARNING, f"Unknown debug action requested: {action}")
        return 400, {"error": f"Unknown action: {action}"}
    if _log.is_enabled(_log.DEBUG):
        _log.emit(_log.DEBUG, f"Debug action '{action}' completed successfully")
    return 200, answer


def _perform(app: Health, action: Any) -> Optional[Dict[str, Any]]:
    if action == models.TASK_ACTION_PING_STATUS:
        status = app.get_current_ping_status()
        return {"status": status.value, "time_of_last_update": int(app._last_status_update_time)}
    if action == models.TASK_ACTION_JOB_STATUS:
        return app.get_async_task_info()
    if action == models.TASK_ACTION_FORCE_HEALTHY:
        return _force(app, PingStatus.HEALTHY)
    if action == models.TASK_ACTION_FORCE_BUSY:
        return _force(app, PingStatus.HEALTHY_BUSY)
    if action == models.TASK_ACTION_CLEAR_FORCED_STATUS:
        app.clear_forced_ping_status()
        _log.emit(_log.INFO, "Forced ping status cleared")
        return {"forced_status": "Cleared"}
    return None


def _force(app: Health, status: PingStatus) -> Dict[str, Any]:
    app.force_ping_status(status)
    _log.emit(_log.INFO, f"Ping status forced to {status.value}")
    return {"forced_status": status.value}
