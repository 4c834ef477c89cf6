"""What an `up` is to bring about: options and an existing deployment become one `Deployment`, or one clear error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy import database as databases
from deploy import demo, ports
from deploy.errors import DeployError, PortTakenError
from deploy.parts import require_programs
from deploy.secret_files import secret, write_private
from deploy.state import DEFAULT_PORT, Deployment, State

if TYPE_CHECKING:
    from pathlib import Path

    from charter.policy import PolicySet

MAX_WORKERS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `charter up` that choose what is deployed; None: as before, or the default."""

    demo: bool = False
    port: int | None = None
    database: str | None = None
    redis: str | None = None
    workers: int | None = None
    policy: Path | None = None
    ldif: Path | None = None
    login_config: Path | None = None


def read_policy(directory: Path) -> PolicySet:
    """Read and check a policy.

    Raises:
        DeployError: it is not there, or has errors; the first is in the message, exit code 1.
    """
    from charter.policy import load  # noqa: PLC0415 - `down` and `status` must work whatever the policy package does

    if not directory.is_dir():
        msg = f"There is no policy directory {directory}."
        raise DeployError(msg, advice="Give one with --policy DIR, or use --demo.")
    result = load(directory)
    if result.policy_set is not None:
        return result.policy_set
    errors = [found for found in result.diagnostics if found.severity == "error"]
    first = errors[0] if errors else None
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = (
        f"{directory / first.file}:{first.line}:{first.column}: {first.message}{more}" if first else "unknown reason"
    )
    msg = f"The policy is broken: {detail}."
    raise DeployError(msg, advice=f"See all of it with: charter check {directory}", exit_code=1)


def choose(state: State, options: Options) -> Deployment:
    """Settle what is deployed; writes only the demo's copies and secrets, starts nothing.

    Raises:
        DeployError: options that do not go together, a taken port, a missing program, a broken policy.
    """
    before = state.load()
    workers = options.workers if options.workers is not None else len(before.worker_ports) if before else 0
    database = _database(state, options, before)
    redis = options.redis or (_kept(state, "redis.url") if workers else None)
    _check_workers(workers, database, redis)
    is_demo = options.demo or bool(before and before.demo)
    if is_demo and (options.policy or options.ldif or options.login_config):
        msg = "--demo brings its own policy and directory; --policy, --ldif and --login-config are for your own."
        raise DeployError(msg)
    _check_company(options, before, is_demo=is_demo)
    embedded = is_demo or (options.login_config is None and bool(options.ldif or (before and before.ldif)))
    require_programs(embedded_directory=embedded, workers=workers, postgresql=database != "sqlite")
    port = options.port or (before.homeserver_port if before else DEFAULT_PORT)
    if ports.is_taken(port):
        raise PortTakenError(port)
    if database != "sqlite":
        databases.check(database)
    policy, ldif, login_config = _company(state, options, before, is_demo=is_demo)
    policy_set = read_policy(policy)
    if before and policy_set.policy.organisation.server_name != before.server_name:
        msg = (
            f"The policy is for {policy_set.policy.organisation.server_name}, this deployment is {before.server_name}."
        )
        raise DeployError(msg, advice="A server's name cannot change. Use another --state DIR.", exit_code=1)
    chosen = _numbered(before, policy, policy_set, port, workers, embedded=embedded)
    _keep(state, database, redis)
    return chosen.model_copy(
        update={
            "demo": is_demo,
            "database": "sqlite" if database == "sqlite" else "postgresql",
            "policy": policy,
            "ldif": ldif,
            "login_config": login_config,
        }
    )


def conflicts(options: Options, running: Deployment) -> list[str]:
    """Which options ask for something else than what runs."""
    asked = {
        "--port": options.port is not None and options.port != running.homeserver_port,
        "--workers": options.workers is not None and options.workers != len(running.worker_ports),
        "--demo": options.demo and not running.demo,
        "--policy": options.policy is not None and options.policy.resolve() != running.policy,
        "--ldif": options.ldif is not None and options.ldif.resolve() != running.ldif,
        "--login-config": options.login_config is not None and options.login_config.resolve() != running.login_config,
        "--database": options.database is not None and (options.database == "sqlite") != (running.database == "sqlite"),
    }
    return [name for name, differs in asked.items() if differs]


def database_url(state: State) -> str:
    """Synapse's database: `sqlite`, or the PostgreSQL URL that was given."""
    return _kept(state, "database.url") or "sqlite"


def redis_url(state: State) -> str | None:
    """The Redis URL that was given, or None."""
    return _kept(state, "redis.url")


def _database(state: State, options: Options, before: Deployment | None) -> str:
    database = options.database or database_url(state)
    if before and (database == "sqlite") != (before.database == "sqlite"):
        msg = f"This deployment's data is in {before.database}; `up` does not move it to another database."
        raise DeployError(msg, advice="Move it with Synapse's synapse_port_db, or use another --state DIR.")
    if database != "sqlite" and not database.startswith(("postgresql://", "postgres://")):
        msg = "The --database URL must look like postgresql://user@host/name, or be `sqlite`."
        raise DeployError(msg)
    return database


def _check_workers(workers: int, database: str, redis: str | None) -> None:
    if not 0 <= workers <= MAX_WORKERS:
        msg = f"--workers must be between 0 and {MAX_WORKERS}."
        raise DeployError(msg)
    if workers and (database == "sqlite" or not redis):
        msg = "Workers need PostgreSQL and Redis."
        raise DeployError(msg, advice="Add --database postgresql://… and --redis redis://…, or leave out --workers.")


def _check_company(options: Options, before: Deployment | None, *, is_demo: bool) -> None:
    if is_demo or before:
        return
    if options.policy is None or not (options.ldif or options.login_config):
        msg = "A new deployment needs a policy and a directory."
        advice = (
            "Try `charter up --demo`, or give --policy DIR with --login-config FILE (your directory) or --ldif FILE."
        )
        raise DeployError(msg, advice=advice)


def _company(
    state: State, options: Options, before: Deployment | None, *, is_demo: bool
) -> tuple[Path, Path | None, Path | None]:
    """Whose policy and directory: policy directory, LDIF, login configuration."""
    service_password = secret(state.keys / "directory.secret")
    if is_demo:
        policy, ldif = demo.prepare(state, service_password)
        return policy, ldif, None
    policy_path = options.policy or (before.policy if before else None)
    assert policy_path is not None  # _check_company saw to it
    if options.login_config or (before and before.login_config and not options.ldif):
        path = options.login_config or (before.login_config if before else None)
        return policy_path.resolve(), None, path.resolve() if path else None
    if options.ldif is not None:
        copy = state.root / "directory" / "directory.ldif"
        demo.write_ldif(copy, demo.with_service_account(_read(options.ldif), service_password))
        return policy_path.resolve(), copy, None
    return policy_path.resolve(), before.ldif if before else None, None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}."
        raise DeployError(msg) from error


def _numbered(  # noqa: PLR0913 - each is a separate source of numbers
    before: Deployment | None, policy: Path, policy_set: PolicySet, port: int, workers: int, *, embedded: bool
) -> Deployment:
    """The deployment with every port chosen: those of last time where they are still free."""
    known: dict[str, int] = {}
    if before:
        known = {
            name: number for name, number in before.ports().items() if number != port and not ports.is_taken(number)
        }
    spread = [f"worker{index}" for index in range(1, workers + 1)]
    names = ["metrics", "web", "replication", *spread, *(f"{worker}_metrics" for worker in spread)]
    names += ["directory"] if embedded else []
    names += ["synapse"] if workers else []
    fresh = iter(ports.free_ports(len(names), besides=port))
    number = {name: known.get(name) or next(fresh) for name in names}
    return Deployment(
        server_name=policy_set.policy.organisation.server_name,
        demo=False,
        homeserver_port=port,
        synapse_port=number.get("synapse", port),
        metrics_port=number["metrics"],
        replication_port=number["replication"],
        directory_port=number.get("directory"),
        web_port=number["web"],
        worker_ports=tuple(number[worker] for worker in spread),
        worker_metrics_ports=tuple(number[f"{worker}_metrics"] for worker in spread),
        database="sqlite",
        policy=policy,
        ldif=None,
        login_config=None,
        presence=grants_presence(policy_set),
        timezone=policy_set.policy.organisation.timezone,
    )


def grants_presence(policy_set: PolicySet) -> bool:
    """Whether the policy gives anybody presence; where nobody has it Synapse does not track it at all."""
    patterns = {pattern for grant in policy_set.policy.grants for pattern in grant.allow}
    return bool(patterns & {"presence", "*"})


def _kept(state: State, name: str) -> str | None:
    path = state.keys / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def _keep(state: State, database: str, redis: str | None) -> None:
    if database != "sqlite":
        write_private(state.keys / "database.url", database + "\n")
    if redis:
        write_private(state.keys / "redis.url", redis + "\n")
