"""The texts of the mails of 04 section 10, and the links in them."""

from __future__ import annotations

from gateway.base.errors import Conflict
from gateway.base.secret import Secret
from gateway.registry import outbox, server_settings
from gateway.registry.action_tokens import LIFE, PATHS, ActionToken, Purpose
from gateway.registry.database import Reader, Tx

INVITATION = "invitation"
"""The purpose of a letter that carries an invitation to register."""
INVITATION_PATH = "/invitation/"

_CLOSING = "If you did not ask for this, ignore this message: nothing happens then."

_TEXTS = {
    Purpose.SIGN_UP: (
        "Confirm your registration",
        "Open this link to choose a name and a password for your account:",
    ),
    Purpose.RESET_PASSWORD: (
        "Choose a new password",
        "Open this link to choose a new password for the account {about}:",
    ),
    Purpose.UNLOCK: ("Unlock your account", "Open this link to unlock the account {about}:"),
    Purpose.SET_EMAIL: (
        "Confirm your mail address",
        "Open this link to make this the mail address of the account {about}:",
    ),
    Purpose.CREATE_GUEST: (
        "Create a guest client",
        "Open this link to create a guest client for {about}. It works once:",
    ),
    Purpose.BROWSE_GUESTS: (
        "Your guest clients",
        "Open this link to see the guest clients of this mail address:",
    ),
    Purpose.EDIT_GUEST: (
        "Edit a guest client",
        "Open this link to edit the guest client {about}:",
    ),
}


def link_to(reader: Reader, path: str) -> Secret:
    """Return the full address of one of our pages, as links carry it.

    Raises Conflict while the administrator has not set the address of the pages.
    """
    url = server_settings.load(reader).management_url
    if not url:
        raise Conflict("The administrator has not set the address of these pages yet.")
    return Secret(url + path)


def send(tx: Tx, to: str, drawn: tuple[Secret, ActionToken], about: str = "") -> int | None:
    """Queue the letter that carries a link just drawn; return its id, None when it was too many.

    `about` names the account, site or client that the link is about. Raises Conflict while letters
    have no way to travel.
    """
    text, token = drawn
    subject, sentence = _TEXTS[token.purpose]
    body = "\n\n".join(
        (
            sentence.replace("{about}", _one_line(about)),
            outbox.LINK_MARK,
            f"The link is good for {_life(LIFE[token.purpose])}.",
            _CLOSING,
        )
    )
    link = link_to(tx, PATHS[token.purpose] + text.reveal())
    return outbox.put(
        tx,
        str(token.purpose),
        to,
        subject,
        body,
        link=link,
        expires_at=token.expires_at,
        token_id=token.id,
    )


def send_invitation(
    tx: Tx, to: str, inviter: str, key: str, *, expires_at: int, invitation_id: int
) -> int | None:
    """Queue the letter of an invitation to register; return its id, None when it was too many."""
    sentence = (
        f"{_one_line(inviter)} invites you to register. Open this link to choose a name and a "
        "password for your account:"
    )
    life = f"The link is good for {_life(expires_at - tx.now)}."
    body = f"{sentence}\n\n{outbox.LINK_MARK}\n\n{life}"
    return outbox.put(
        tx,
        INVITATION,
        to,
        f"{_one_line(inviter)} invites you",
        body,
        link=link_to(tx, INVITATION_PATH + key),
        expires_at=expires_at,
        invitation_id=invitation_id,
    )


def _one_line(text: str) -> str:
    # Names come from people: no line of theirs may pass for one of ours, and no mark for a link.
    return " ".join(text.split()).replace("{", "(").replace("}", ")")[:128]


def _life(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length or (seconds >= length and seconds % length == 0):
            count = seconds // length
            return f"{count} {unit[:-1] if count == 1 else unit}"
    return f"{max(0, seconds)} seconds"
