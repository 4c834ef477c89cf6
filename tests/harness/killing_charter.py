"""A Synapse module for tests: ends its process at a step of withholding an upload, while a file names the step."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_modules import _gate_withheld, _outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.module_api import ModuleApi

STEPS = ("copied", "committed", "named", "emptied", "stored")


class Kills:
    """Kills the process, as a power cut would, right after the step that the file `config["file"]` names."""

    def __init__(self, config: dict[str, Any], api: ModuleApi) -> None:  # noqa: ARG002 - Synapse's signature
        self._file = Path(config["file"])
        put_with = _outbox.Outbox.put_with

        async def put(*args: Any, **kwargs: Any) -> str:
            self._reached("copied")
            record = await put_with(*args, **kwargs)
            self._reached("committed")
            return record

        _outbox.Outbox.put_with = put  # type: ignore[method-assign] # that is the point
        _gate_withheld.name_copy = self._after("named", _gate_withheld.name_copy)
        _gate_withheld.empty = self._after("emptied", _gate_withheld.empty)
        quarantine: Any = _gate_withheld._quarantine

        def stored(*args: Any) -> Any:
            self._reached("stored")
            return quarantine(*args)

        _gate_withheld._quarantine = stored  # type: ignore[assignment] # that is the point

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration unchanged."""
        return config

    def _reached(self, step: str) -> None:
        if self._file.exists() and self._file.read_text() == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def _after(self, step: str, func: Callable[..., None]) -> Callable[..., None]:
        def then(*args: Any) -> None:
            func(*args)
            self._reached(step)

        return then
