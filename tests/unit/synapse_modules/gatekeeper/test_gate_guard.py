"""The guard, the answers and the interposition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from synapse.api.errors import SynapseError
from synapse.module_api.callbacks.third_party_event_rules_callbacks import ThirdPartyEventRulesModuleApiCallbacks
from twisted.internet.defer import CancelledError

from charter.verdict import Decision, Verdict
from synapse_modules import _answers
from synapse_modules._answers import Refusal
from synapse_modules._guard import ALARM_EVERY_S, Guard
from synapse_modules._interposed import INTERPOSITIONS, interpose_check_event_allowed
from tests.unit.synapse_modules.gatekeeper.gate_doubles import Event, Runtime

NO = Verdict(Decision.DENY, "chat.text", ("one", "two"), "Not today")
REFUSAL = Refusal("r-1", NO, "d1", "Ask Ada.", "replace")


def _guard(runtime: Runtime) -> Guard:
    anything: Any = runtime
    return Guard(anything)


@pytest.mark.parametrize("error", [SynapseError(403, "No"), CancelledError()])
async def test_refusals_and_cancellations_pass_the_guard(error: Exception) -> None:
    """A deliberate refusal stays what it is and is no failure."""

    async def hook() -> bool:
        raise error

    runtime = Runtime()
    with pytest.raises(type(error)):
        await _guard(runtime).wrap("hook", hook, on_failure=lambda: True)()
    assert runtime.outbox.records == []


async def test_an_accident_gives_the_declared_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Any other exception is answered as declared, logged without content, and alarmed once in a while."""

    async def hook(_secret: str) -> bool:
        msg = "boom"
        raise KeyError(msg)

    runtime = Runtime()
    guard = _guard(runtime)
    opened = guard.wrap("hook", hook, on_failure=lambda: True)
    assert await opened("s3cret") is True
    assert await opened("s3cret") is True
    assert [body["hook"] for body in runtime.outbox.bodies("alarm")] == ["hook"]
    runtime.time += ALARM_EVERY_S
    closed = guard.wrap("hook", hook, on_failure=_answers.fail_closed)
    with pytest.raises(SynapseError) as caught:
        await closed("s3cret")
    assert caught.value.code == 503
    assert len(runtime.outbox.bodies("alarm")) == 2
    assert "s3cret" not in caplog.text


def test_an_error_is_a_full_sentence() -> None:
    """Reason, rules and contact in words; the marker beside them."""
    error = _answers.forbidden(REFUSAL)
    assert error.msg == "Not today. Rules: one, two. Questions: Ask Ada."
    assert error.error_dict(None)["org.charter.refusal"] == {
        "id": "r-1",
        "feature": "chat.text",
        "rules": ["one", "two"],
        "reason": "Not today",
        "policy": "d1",
        "contact": "Ask Ada.",
    }


def test_a_replacement_keeps_nothing_of_what_was_refused() -> None:
    """Type, sender and room stay; content is a notice without relation, mention or media."""
    content = {
        "msgtype": "m.image",
        "url": "mxc://x/y",
        "m.relates_to": {"rel_type": "m.replace"},
        "m.mentions": {"room": True},
    }
    event: Any = Event("m.room.message", content)
    document = _answers.replaced(event, REFUSAL)
    assert (document["type"], document["sender"]) == ("m.room.message", "@alice:acme.example")
    assert set(document["content"]) == {"msgtype", "body", "m.mentions", "org.charter.refusal"}
    assert document["content"]["msgtype"] == "m.notice"
    assert document["content"]["m.mentions"] == {}


def test_other_servers_learn_nothing() -> None:
    """The door's answer holds neither rule nor reason."""
    assert "org.charter.refusal" not in _answers.at_the_door().error_dict(None)


class _Api:
    """A module API with Synapse's own callbacks class, without its server."""

    def __init__(self, rules: object) -> None:
        self._callbacks = SimpleNamespace(third_party_event_rules=rules)
        self.registered: dict[str, Any] = {}

    def register_third_party_rules_callbacks(self, **hooks: Any) -> None:
        self.registered |= hooks


def _rules() -> Any:
    rules = ThirdPartyEventRulesModuleApiCallbacks.__new__(ThirdPartyEventRulesModuleApiCallbacks)
    rules._check_event_allowed_callbacks = []
    return rules


async def _allow(_event: Any, _context: Any) -> tuple[bool, dict[str, Any] | None]:
    return True, None


async def _replace(_event: Any, _context: Any) -> tuple[bool, dict[str, Any] | None]:
    return True, {"replaced": True}


async def test_the_interposition_fits_this_synapse() -> None:
    """The internal is as expected, and without other modules state is never asked for."""
    rules = _rules()
    api: Any = _Api(rules)
    assert interpose_check_event_allowed(api, _allow, _allow)
    assert api.registered == {}
    anything: Any = None
    assert await rules.check_event_allowed(anything, anything) == (True, None)


async def test_other_modules_are_asked_after_us() -> None:
    """What we allow is handed on; what we replace or refuse is final."""
    rules = _rules()

    class Loads:
        async def get_prev_state_ids(self) -> dict[str, str]:
            return {}

    async def get_events(_ids: Any) -> dict[str, Any]:
        return {}

    rules.store = SimpleNamespace(get_events=get_events)
    asked: list[str] = []

    async def other(_event: Any, _state: Any) -> tuple[bool, None]:
        asked.append("other")
        return False, None

    rules._check_event_allowed_callbacks.append(other)
    api: Any = _Api(rules)
    interpose_check_event_allowed(api, _allow, _allow)
    context: Any = Loads()
    assert await rules.check_event_allowed(context, context) == (False, None)
    interpose_check_event_allowed(api, _replace, _replace)
    assert await rules.check_event_allowed(context, context) == (True, {"replaced": True})
    assert asked == ["other"]


class _Synchronous:
    _check_event_allowed_callbacks: list[Any] = []  # noqa: RUF012 - stands for another Synapse

    def check_event_allowed(self, event: Any, context: Any) -> None:
        """Not a coroutine."""


class _OtherArguments:
    _check_event_allowed_callbacks: list[Any] = []  # noqa: RUF012 - stands for another Synapse

    async def check_event_allowed(self, event: Any, context: Any, extra: Any) -> None:
        """Take one argument more."""


@pytest.mark.parametrize("rules", [None, object(), _Synchronous(), _OtherArguments()])
def test_a_changed_internal_falls_back_to_the_public_hook(rules: object) -> None:
    """Another Synapse is slower, never weaker."""
    api: Any = _Api(rules)
    assert not interpose_check_event_allowed(api, _allow, _replace)
    assert api.registered == {"check_event_allowed": _replace}


def test_every_interposition_names_tested_versions() -> None:
    """The one list is complete enough to act on."""
    assert all(row.tested and row.fallback and row.why for row in INTERPOSITIONS)
