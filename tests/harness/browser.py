"""People at Element in a headless Chromium: what they click, type and see."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from playwright.sync_api import Error, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE = 30_000.0
"""Milliseconds that an expected sight may take on a busy machine."""

expect.set_options(timeout=PATIENCE)


@dataclass
class Element:
    """One person's browser with Element in it.

    Attributes:
        page: its only tab.
        url: where the client is served.
        folder: everything this browser writes; what a failure leaves is here too.
        console: what the page said on its console.
        outside: addresses outside this machine that the page tried to reach.
    """

    page: Page
    url: str
    folder: Path
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen to the page."""
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error.message}\n{error.stack}"))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not re.match(r"(http://127\.0\.0\.1:|blob:|data:)", request.url):
            self.outside.append(request.url)

    def log_on(self, user: str, password: str) -> None:
        """Log on with name and password, and wait for the list of rooms."""
        page = self.page
        page.goto(self.url)
        page.get_by_text("Sign in", exact=True).click()
        page.locator("#mx_LoginForm_username").fill(user)
        page.locator("#mx_LoginForm_password").fill(password)
        page.locator(".mx_Login_submit").click()
        expect(page.locator(".mx_LeftPanel")).to_be_visible()
        news = page.get_by_role("dialog").filter(has_text="Threads Activity Centre").get_by_role("button", name="OK")
        toast = page.locator(".mx_Toast_toast").get_by_role("button", name="Dismiss")
        for button in (news, toast):  # what Element tells everybody at first
            page.add_locator_handler(button, lambda found: found.click())

    def tile(self, name: str) -> Locator:
        """Return the entry of a room in the left panel."""
        return self.page.locator(".mx_RoomTile").filter(has=self.page.get_by_title(name, exact=True))

    def direct_chats(self) -> Locator:
        """Return the part of the left panel that holds direct chats."""
        return self.page.get_by_role("group", name="People")

    def open(self, name: str) -> None:
        """Open the room with this name, accepting its invitation if it is one."""
        self.tile(name).click()
        accept = self.page.locator(".mx_RoomPreviewBar").get_by_role("button", name=re.compile("Accept|Start chatting"))
        composer = self.composer()
        expect(accept.or_(composer).first).to_be_visible()
        if accept.is_visible():
            accept.click()
        expect(composer).to_be_visible()

    def composer(self) -> Locator:
        """Return the box in which messages are written."""
        return self.page.locator(".mx_BasicMessageComposer_input")

    def say(self, text: str) -> None:
        """Write a message and send it."""
        self.composer().click()
        self.composer().press_sequentially(text)
        self.composer().press("Enter")

    def send_file(self, file: Path) -> None:
        """Choose a file and confirm its upload."""
        self.page.locator("input[type=file][multiple]").first.set_input_files(file)
        self.page.get_by_role("dialog").get_by_role("button", name="Upload", exact=True).click()

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """Return the messages of the open room's timeline that contain a text."""
        return self.page.locator(".mx_RoomView_MessageList .mx_EventTile").filter(has_text=text)

    def unsent(self) -> Locator:
        """Return the bar with which Element blocks a room after a refused message."""
        return self.page.locator(".mx_RoomStatusBar_unsentMessages, .mx_RoomStatusBar_unsentBadge")

    def picture(self, path: Path) -> None:
        """Save what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(1000, 250)  # over nothing that shows it
        self.page.screenshot(path=path)

    def evidence(self) -> str:
        """Save picture and console for whoever reads a failure, and return where they are."""
        picture, console = self.folder / "screen.png", self.folder / "console.log"
        try:
            self.picture(picture)
        except Error as error:
            picture = self.folder / f"no picture ({error.message.splitlines()[0]})"
        console.write_text("\n".join(self.console), encoding="utf-8")
        return f"picture: {picture}\nconsole: {console}"


@contextmanager
def browsers(url: str, folder: Path, people: Sequence[str]) -> Iterator[dict[str, Element]]:
    """Open one fresh browser for each person; a failure inside names the pictures and console logs that it left.

    Args:
        url: where the client is served.
        folder: below it each browser keeps its profile and its evidence.
        people: names of the browsers; nobody is logged on yet.
    """
    with sync_playwright() as playwright:
        opened: dict[str, Element] = {}
        contexts: list[BrowserContext] = []
        try:
            for person in people:
                context = _context(playwright, folder / person / "profile")
                contexts.append(context)
                opened[person] = Element(context.pages[0], url, folder / person)
            yield opened
        except BaseException as error:
            for person, element in opened.items():
                error.add_note(f"{person} at Element:\n{element.evidence()}")
            raise
        finally:
            for context in contexts:
                context.close()


def _context(playwright: Playwright, profile: Path) -> BrowserContext:
    return playwright.chromium.launch_persistent_context(
        profile,
        executable_path=CHROMIUM,
        headless=True,
        args=list(ARGUMENTS),
        viewport={"width": 1120, "height": 700},
        locale="en-GB",
    )
