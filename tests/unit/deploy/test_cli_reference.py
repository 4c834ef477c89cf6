"""The page of commands is what the commands say."""

from __future__ import annotations

import click

from charter.cli import cli
from deploy.cli_reference import PAGE, page


def test_the_page_is_up_to_date() -> None:
    """`python -m deploy.cli_reference` would change nothing."""
    assert page() == PAGE.read_text(encoding="utf-8")


def test_every_command_is_available_and_has_words() -> None:
    """No command failed to load, and each says what it does."""
    context = click.Context(cli, info_name="charter")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help, name
