"""`charter apply` against a small HTTP double: keys, words, and what it does when things go wrong."""

from __future__ import annotations

import json
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from charter.bundle import Bundle, verify
from charter.policy.parse import load_files
from deploy.apply_cli import API, Applied, _summary, apply_policy_set
from deploy.errors import DeployError
from deploy.keys import generate_admin_key, load_admin_key, public_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = b"""
version: 1
organisation: {name: ACME, server_name: acme.example, contact: help}
grants: [{id: chat, to: [everyone], allow: [chat.*]}]
"""
Answers = dict[str, list[tuple[int, dict[str, Any]]]]


class Custody:
    """Answers each call with what it was told, the last one again and again, and keeps what was sent."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.sent: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                outer.sent.append(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer()

            def _answer(self) -> None:
                call = f"{self.command} {self.path.removeprefix(API).split('?')[0]}"
                left = outer.answers[call]
                status, body = left.pop(0) if len(left) > 1 else left[0]
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


HEAD = (200, {"digest": "d" * 64, "sequence": 4, "stage": "enforce"})
STORED = (200, {"digest": "", "sequence": 5, "added": ["chat"], "removed": [], "changed": []})
ALL = (200, {"judging": 2, "behind": 0, "waiting_for": []})


@pytest.fixture
def custody() -> Iterator[Custody]:
    """Return a server where all goes well after a moment."""
    made = Custody({"GET /bundle/head": [HEAD], "PUT /bundle": [STORED], "GET /processes": [ALL]})
    yield made
    made.close()


def run(custody: Custody, key: Path, wait: float = 5) -> Applied:
    """Apply the small policy."""
    policy_set = load_files({"p.yaml": POLICY}).policy_set
    assert policy_set is not None
    return apply_policy_set(policy_set, homeserver=custody.url, key=key, key_id="admin", stage="enforce", wait=wait)


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Mode 0600 in a directory of mode 0700; a second call keeps it."""
    path = tmp_path / "keys" / "admin.key"
    public = generate_admin_key(path)
    assert generate_admin_key(path) == public == public_text(load_admin_key(path))
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_bad_key_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """Neither a traceback nor the key's content."""
    path = tmp_path / "admin.key"
    path.write_bytes(content)
    with pytest.raises(DeployError, match="not an unencrypted private key"):
        load_admin_key(path)
    with pytest.raises(DeployError, match="cannot be read"):
        load_admin_key(tmp_path / "missing.key")


def test_bundle_follows_the_head_and_verifies(custody: Custody, tmp_path: Path) -> None:
    """One more than the head's number, on top of its digest, signed."""
    public = generate_admin_key(tmp_path / "admin.key")
    custody.answers["GET /processes"] = [(200, {"judging": 1, "behind": 1, "waiting_for": ["worker1"]}), ALL]
    applied = run(custody, tmp_path / "admin.key")
    bundle = Bundle.from_json(custody.sent[0])
    assert (bundle.sequence, bundle.previous, bundle.stage) == (5, "d" * 64, "enforce")
    assert verify(bundle, {"admin": public}).digest == applied.policy
    assert (applied.judging, applied.behind, applied.rules["added"]) == (2, (), ["chat"])


def test_busy_server_is_asked_again(custody: Custody, tmp_path: Path) -> None:
    """429 is not an answer."""
    generate_admin_key(tmp_path / "admin.key")
    custody.answers["PUT /bundle"] = [(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "later"}), STORED]
    assert run(custody, tmp_path / "admin.key").changed
    assert len(custody.sent) == 2


def test_process_that_stays_behind_is_named(custody: Custody, tmp_path: Path) -> None:
    """The wait ends, and says who is missing."""
    generate_admin_key(tmp_path / "admin.key")
    custody.answers["GET /processes"] = [(200, {"judging": 1, "behind": 1, "waiting_for": ["worker1"]})]
    applied = run(custody, tmp_path / "admin.key", wait=0)
    assert applied.behind == ("worker1",)
    assert "Not yet judging by it: worker1" in _summary(applied)


REFUSALS = [
    ((404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}), "does not run Charter"),
    ((502, {}), "does not run Charter"),
    ((409, {"errcode": "CHARTER_OLD_BUNDLE", "error": "…"}), "Somebody else applied"),
    ((400, {"errcode": "CHARTER_BAD_BUNDLE", "error": "no public key is named 'admin'"}), "no public key is named"),
]


@pytest.mark.parametrize(("answer", "words"), REFUSALS)
def test_refusal_is_told_in_words(
    custody: Custody, tmp_path: Path, answer: tuple[int, dict[str, Any]], words: str
) -> None:
    """Each way to fail has its sentence, and ends with 2."""
    generate_admin_key(tmp_path / "admin.key")
    custody.answers["PUT /bundle"] = [answer]
    with pytest.raises(DeployError, match=words) as caught:
        run(custody, tmp_path / "admin.key")
    assert caught.value.exit_code == 2


def test_summary_shows_rules_and_time() -> None:
    """What a person reads after an apply."""
    rules = {"added": ["new"], "removed": ["old"], "changed": ["other"]}
    applied = Applied("a" * 64, 3, "enforce", changed=True, judging=3, behind=(), seconds=0.41, rules=rules)
    assert (
        _summary(applied)
        == "  + new\n  - old\n  ~ other\nApplied policy aaaaaaaaaaaa, number 3: 3 Synapse processes after 0.41 s."
    )
    same = Applied(
        "a" * 64, 3, "enforce", changed=False, judging=1, behind=(), seconds=0.01, rules={key: [] for key in rules}
    )
    assert (
        _summary(same)
        == "Nothing to apply: policy aaaaaaaaaaaa, number 3 is this policy already; 1 Synapse process judges by it."
    )
