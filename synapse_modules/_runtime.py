"""What the parts share in one Synapse process: configuration, active policy, directory snapshot, outbox.

One :class:`Runtime` per process, whichever parts are loaded; the first part that asks creates it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Literal

from synapse_modules._bundle import Active, Policies
from synapse_modules._config import BotKind, CharterConfig, bot_kind
from synapse_modules._outbox import Outbox
from synapse_modules._schema import at_startup, create_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.module_api import ModuleApi

    from charter.directory import DirectorySnapshot
    from charter.judge import Compiled

logger = logging.getLogger(__name__)

_ATTRIBUTE = "_charter_runtime"


def service_users(api: ModuleApi) -> Callable[[str], bool]:
    """Return what tells an application service's own users, and its sender, from people."""
    store = api._store  # noqa: SLF001 - the module API knows no application services
    senders = frozenset(service.sender.to_string() for service in store.get_app_services())
    exclusive = store.exclusive_user_regex
    return lambda user: user in senders or (exclusive is not None and exclusive.match(user) is not None)


class Runtime:
    """The shared state of one process. Reading it is free: no lock, no await, no database.

    Attributes:
        api: Synapse's module API.
        config: the configuration block.
        instance: name of this process (``master`` for the main one).
        outbox: where records go.
        directory_age: gives the seconds since the directory was last read, or None before that; directory_login,
            which knows of readings that changed nothing, puts its own in place.
        policies: owner of the active policy; parts use :meth:`compiled`.
    """

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self.api = api
        self.config = config
        self.instance: str = api.worker_name or "master"
        self.directory_age: Callable[[], float | None] = self._age_of_snapshot
        self.outbox = Outbox(api, alarm_above=config.outbox_alarm, steward="steward" in config.bots)
        self._roles = {user: role for role, user in config.bots.items()}
        at_startup(api, "charter_create_tables", create_tables)
        self.policies = Policies(
            api, self.outbox, keys=config.policy_keys, bots=frozenset(self._roles), is_service=service_users(api)
        )
        self.policies.load_at_start()
        api.looping_background_call(
            self.policies.poll, config.poll_interval * 1000, desc="charter_poll_policy", run_on_all_instances=True
        )

    @classmethod
    def of(cls, config: CharterConfig, api: ModuleApi) -> Runtime:
        """Return the runtime of this process, creating it for the first part that asks."""
        runtime: Runtime | None = getattr(api, _ATTRIBUTE, None)
        if runtime is None:
            runtime = cls(config, api)
            setattr(api, _ATTRIBUTE, runtime)
        return runtime

    def compiled(self) -> Compiled | None:
        """Return the policy to judge by; None as long as there has been none: closed."""
        active = self.policies.active
        return None if active is None else active.compiled

    @property
    def active(self) -> Active | None:
        """The active policy with its bundle, for parts that need stage, sequence or digest."""
        return self.policies.active

    @property
    def stage(self) -> Literal["enforce", "shadow"]:
        """`shadow`: denials of the whole policy are recorded and not enforced. Without a policy: `enforce`."""
        active = self.policies.active
        return "shadow" if active is not None and active.bundle.stage == "shadow" else "enforce"

    @property
    def snapshot(self) -> DirectorySnapshot | None:
        """The directory snapshot; None before the first one."""
        return self.policies.snapshot

    def set_snapshot(self, snapshot: DirectorySnapshot) -> None:
        """Use another snapshot; the policy is recompiled in a thread and swapped. Called on the reactor thread."""
        self.policies.set_snapshot(snapshot)

    def set_snapshot_at_start(self, snapshot: DirectorySnapshot) -> None:
        """Use a snapshot at once, from a part's ``__init__``; see ``_schema.at_startup`` for reading it there."""
        self.policies.set_snapshot_at_start(snapshot)

    def on_policy(self, listener: Callable[[Active], None]) -> None:
        """Call `listener(active)` on the reactor thread after each swap of policy or snapshot; at once if there is one."""
        self.policies.on_swap(listener)

    def _age_of_snapshot(self) -> float | None:
        snapshot = self.snapshot
        return None if snapshot is None else max(0.0, self.now() - snapshot.taken_at)

    def now(self) -> float:
        """Return POSIX seconds."""
        return time.time()

    def is_bot(self, user: str) -> bool:
        """Whether an MXID is one of Charter's bots."""
        return user in self._roles

    def role(self, user: str) -> str | None:
        """Return a bot's role as configured, or None."""
        return self._roles.get(user)

    def bot_kind(self, user: str) -> BotKind | None:
        """Return what kind of bot an MXID is, or None."""
        role = self._roles.get(user)
        return None if role is None else bot_kind(role)
