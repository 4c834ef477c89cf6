"""The shape of the language as data: which model stands at which path, what people call it, which keys it has.

Diagnostics, the manual and the editor schema read it, so that none of them repeats the models.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from charter.policy import model as m

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

NOUNS: Final[Mapping[type[BaseModel], str]] = {
    m.Policy: "a policy",
    m.Organisation: "the organisation",
    m.DirectorySelector: "a directory selector",
    m.Group: "a group",
    m.During: "a time window",
    m.Grant: "a grant",
    m.Limit: "a limit",
    m.Barrier: "a barrier",
    m.DirectoryProfile: "the directory profile",
    m.DirectoryPolicy: "the directory settings",
    m.SessionKinds: "the sessions of each kind",
    m.SessionRule: "a session rule",
    m.Membership: "a membership",
    m.FederationServer: "a federation server",
    m.Federation: "the federation settings",
    m.Relay: "a relay",
    m.Service: "a service",
    m.Keep: "a retention rule",
    m.Journal: "the journal settings",
    m.GatewayNetwork: "a gateway network",
    m.GatewayGrant: "a gateway grant",
    m.DlpRule: "a DLP rule",
    m.Gateway: "the gateway settings",
    m.ApprovalsMayGrant: "the bounds of approvals",
    m.Compliance: "the compliance settings",
    m.Refusals: "the refusal settings",
}
"""What a message calls each model."""

Path = tuple[str | int, ...]


@functools.cache
def keys_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return YAML key -> field of a model, in the order of the manual."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def models_in(annotation: Any) -> tuple[type[BaseModel], str]:
    """Return the model inside an annotation and its container: "list", "mapping" or "".

    Raises:
        LookupError: there is no model inside.
    """
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            if part is not type(None):
                return models_in(part)
    if origin is tuple:
        return models_in(typing.get_args(annotation)[0])[0], "list"
    if origin is dict:
        return models_in(typing.get_args(annotation)[1])[0], "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    raise LookupError(annotation)


def model_at(path: Path) -> type[BaseModel] | None:
    """Return the model that stands at a path of a policy document, or None where there is none."""
    current: type[BaseModel] = m.Policy
    rest = list(path)
    while rest:
        info = keys_of(current).get(str(rest.pop(0)))
        if info is None:
            return None
        try:
            current, container = models_in(info.annotation)
        except LookupError:
            return None
        if container:
            if not rest:
                return None
            rest.pop(0)
    return current
