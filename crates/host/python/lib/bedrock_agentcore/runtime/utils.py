"""Helpers that agents import from the runtime."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PARTITIONS = frozenset(("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"))
_MAX_DEPTH = 50


def convert_complex_objects(obj: Any, _depth: int = 0) -> Any:
    """Returns `obj` with pydantic models and dataclasses as dictionaries and sets and tuples as lists."""
    if _depth > _MAX_DEPTH:
        return f"<too_deep:{type(obj).__name__}>"
    if not isinstance(obj, type):
        if hasattr(obj, "model_dump"):
            return obj.model_dump()
        if hasattr(obj, "__dataclass_fields__"):
            from dataclasses import asdict

            return asdict(obj)
    if isinstance(obj, dict):
        return {key: convert_complex_objects(value, _depth + 1) for key, value in obj.items()}
    if isinstance(obj, (list, tuple, set)):
        return [convert_complex_objects(item, _depth + 1) for item in obj]
    return obj


def is_valid_partition(partition: str) -> bool:
    """Returns whether this is a partition of AWS (`aws`, `aws-us-gov`, …)."""
    return partition in _PARTITIONS
