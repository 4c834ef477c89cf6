"""What employees see in Element: what is allowed works, what is refused is said kindly and harms nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.harness.gate import texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Company, Opener
    from tests.harness.browser import Element
    from tests.harness.synapse import Client

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

STEWARD = "Charter steward"
SCRIBE = "@charter-scribe:acme.example"
PDF = b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"


def direct(company: Company, one: str, other: str) -> tuple[Client, str]:
    """Have somebody begin a direct chat at the API; return their client and the room."""
    client = company.person(one)
    answer = client.create_room(preset="trusted_private_chat", is_direct=True, invite=[f"@{other}:acme.example"])
    assert answer.status == 200, answer
    room = str(answer.body["room_id"])
    present = client.get(f"/user/{client.user_id}/account_data/m.direct").body
    chats = {f"@{other}:acme.example": [room]}
    stored = client.put(
        f"/user/{client.user_id}/account_data/m.direct", {} if "errcode" in present else present | chats
    )
    assert stored.status == 200, stored
    return client, room


def reads(client: Client, room: str, text: str) -> None:
    """Wait until somebody's other client reads a text."""
    until(lambda: text in texts(client, room), f"{client.user_id} reads {text!r}", within=30)


def invited_by(client: Client, inviter: str) -> str | None:
    """Return the room to which somebody is invited by a certain person."""
    for room, invite in client.get("/sync").body.get("rooms", {}).get("invite", {}).items():
        for event in invite["invite_state"]["events"]:
            if event["type"] == "m.room.member" and event["state_key"] == client.user_id and event["sender"] == inviter:
                return str(room)
    return None


def offer(folder: Path) -> Path:
    """Write a small document."""
    file = folder / "offer.pdf"
    file.write_bytes(PDF)
    return file


def receipt(element: Element) -> str:
    """Open the chat with the steward and return what its newest message says."""
    element.open(STEWARD)
    told = element.message("Whom to ask:").last
    expect(told).to_be_visible()
    return told.inner_text()


def room_works(element: Element, other: Client, room: str, text: str) -> None:
    """The next message leaves, arrives, and nothing is left unsent."""
    element.say(text)
    expect(element.message(text)).to_be_visible()
    reads(other, room, text)
    expect(element.unsent()).to_have_count(0)


def test_employee_begins_a_direct_chat_and_is_read(company: Company, at_element: Opener) -> None:
    """Ada logs on with her directory password, finds Max, writes to him and he reads it; nobody outside is asked."""
    max_ = company.person("max")
    with at_element("ada") as (ada,):
        ada.page.get_by_role("button", name="Send a Direct Message").click()
        ada.page.get_by_test_id("invite-dialog-input").fill("max")
        ada.page.locator(".mx_InviteDialog_tile").filter(has_text="Max Brandt").click()
        ada.page.get_by_role("button", name="Go", exact=True).click()
        expect(ada.composer()).to_be_visible()
        ada.say("Lunch at noon?")
        expect(ada.message("Lunch at noon?")).to_be_visible()
        room = until(lambda: invited_by(max_, "@ada:acme.example"), "Max is invited by Ada")
        assert room is not None
        assert max_.join(room).status == 200
        reads(max_, room, "Lunch at noon?")
        assert max_.say(room, "Gladly.").status == 200
        expect(ada.message("Gladly.")).to_be_visible()
        expect(ada.direct_chats().get_by_title("Max Brandt", exact=True)).to_be_visible()
        expect(ada.page.locator(".mx_RoomHeader_heading")).to_contain_text("Max Brandt")
        assert SCRIBE in max_.get(f"/rooms/{room}/joined_members").body["joined"]
        expect(ada.page.locator(".mx_LeftPanel")).not_to_contain_text("scribe")
        assert ada.outside == []


def test_refused_file_of_a_contractor_is_replaced_by_a_notice(
    company: Company, at_element: Opener, tmp_path: Path
) -> None:
    """Tom, a contractor, may send no file: a notice stands in its place, the steward says why, the chat goes on."""
    bob, room = direct(company, "bob", "tom")
    with at_element("tom") as (tom,):
        tom.open("Bob Carter")
        tom.send_file(offer(tmp_path))
        notice = tom.message("This message was not delivered.")
        expect(notice).to_contain_text("Contractors exchange files through the data room.")
        expect(notice).to_contain_text("no-files-for-contractors")
        expect(tom.page.get_by_role("dialog")).to_have_count(0)
        expect(tom.message("offer.pdf")).to_have_count(0)
        expect(tom.unsent()).to_have_count(0)
        room_works(tom, bob, room, "It is in the data room.")
        expect(tom.tile(STEWARD)).to_be_visible()
        tom.picture(tmp_path / "refusal.png")
        told = receipt(tom)
        tom.picture(tmp_path / "receipt.png")
        assert told.count("your message was replaced by a note") == 1
        assert "Contractors exchange files through the data room." in told
        assert re.search(r"Rule: no-files-for-contractors \(grants\.yaml:\d+\)", told), told
        assert "#it-security:acme.example" in told


def test_file_refused_in_this_room_is_replaced_by_a_notice(
    company: Company, at_element: Opener, tmp_path: Path
) -> None:
    """Dora's file is uploaded and refused in direct chats only: a notice with reason, rule and contact stands in its place."""
    company.add_rule(
        "no-files-in-direct-chats",
        {"to": ["sales"], "deny": ["file.*"], "in": ["direct"], "reason": "Offers are sent from the sales room."},
    )
    bob, room = direct(company, "bob", "dora")
    with at_element("dora") as (dora,):
        dora.open("Bob Carter")
        dora.send_file(offer(tmp_path))
        notice = dora.message("This message was not delivered.")
        expect(notice).to_contain_text("Offers are sent from the sales room.")
        expect(notice).to_contain_text("no-files-in-direct-chats")
        expect(notice).to_contain_text("#it-security:acme.example")
        expect(dora.message("offer.pdf")).to_have_count(0)
        expect(dora.unsent()).to_have_count(0)
        room_works(dora, bob, room, "I sent it in the sales room.")
        told = receipt(dora)
        assert "your message was replaced by a note" in told
        assert "Offers are sent from the sales room." in told
        assert re.search(r"Rule: no-files-in-direct-chats \(\S+\.yaml:\d+\)", told), told
        assert "#it-security:acme.example" in told


def test_upload_beyond_a_limit_is_explained_by_the_steward(
    company: Company, at_element: Opener, tmp_path: Path
) -> None:
    """Sven may send files, but not of every type: Element says that it failed, the steward says why, the chat goes on."""
    bob, room = direct(company, "bob", "sven")
    odd = tmp_path / "odd.bin"
    odd.write_bytes(bytes(range(1, 9)) * 20)
    with at_element("sven") as (sven,):
        sven.open("Bob Carter")
        sven.send_file(odd)
        dialog = sven.page.get_by_role("dialog").filter(has_text="Upload Failed")
        expect(dialog).to_contain_text("Charter steward tells you which, in your chats")
        dialog.get_by_role("button", name="OK").click()
        room_works(sven, bob, room, "I will send a document.")
        told = receipt(sven)
        assert "Files of the type application/octet-stream are not allowed for you" in told
        assert re.search(r"Rule: usual \(limits\.yaml:\d+\)", told), told


def test_refused_call_says_why(company: Company, at_element: Opener) -> None:
    """Erik has no call grant: Element's dialog shows the refusal's own words, and the chat goes on."""
    ida, room = direct(company, "ida", "erik")
    with at_element("erik") as (erik,):
        erik.open("Ida Moreau")
        assert ida.say(room, "Call me").status == 200
        expect(erik.message("Call me")).to_be_visible()
        erik.page.get_by_role("button", name="Voice call").click()
        dialog = erik.page.get_by_role("dialog").filter(has_text="Call Failed")
        expect(dialog).to_contain_text("Nothing in the policy allows you to make voice calls (call.voice).")
        expect(dialog).to_contain_text("Questions: #it-security:acme.example")
        dialog.get_by_role("button", name="OK").click()
        room_works(erik, ida, room, "I may not call.")
        told = receipt(erik)
        assert "Nothing in the policy allows you to make voice calls" in told
        assert "#it-security:acme.example" in told
