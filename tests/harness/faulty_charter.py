"""A Synapse module for tests: breaks parts of Charter while a file says so, so that failing closed can be watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_modules import _decisions, _outbox

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi


class Faults:
    """Breaks what the file `config["file"]` names: ``judge`` or ``outbox``; nothing while it does not exist."""

    def __init__(self, config: dict[str, Any], api: ModuleApi) -> None:  # noqa: ARG002 - Synapse's signature
        file = Path(config["file"])
        judge: Any = _decisions.judge  # type: ignore[attr-defined] # what the gate calls, whatever it exports
        put, put_with = _outbox.Outbox.put, _outbox.Outbox.put_with

        def broken(part: str) -> bool:
            return file.exists() and file.read_text() == part

        def faulty_judge(*args: Any, **kwargs: Any) -> Any:
            if broken("judge"):
                raise ZeroDivisionError
            return judge(*args, **kwargs)

        async def faulty_put(*args: Any, **kwargs: Any) -> str:
            if broken("outbox"):
                msg = "disk full"
                raise OSError(msg)
            return await put(*args, **kwargs)

        async def faulty_put_with(*args: Any, **kwargs: Any) -> str:
            if broken("outbox"):
                msg = "disk full"
                raise OSError(msg)
            return await put_with(*args, **kwargs)

        _decisions.judge = faulty_judge  # type: ignore[attr-defined] # that is the point
        _outbox.Outbox.put = faulty_put  # type: ignore[method-assign] # that is the point
        _outbox.Outbox.put_with = faulty_put_with  # type: ignore[method-assign] # that is the point

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration unchanged."""
        return config
