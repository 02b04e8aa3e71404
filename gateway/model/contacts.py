"""Contacts and invitations as the registry returns them; a partnership is two rows (04, 4.5)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.kinds import Authority, ContactStatus

SHORT_NAME = 24
"""Characters of a contact's name in the panels of a site (04 section 2.1)."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One side's row of a partnership; the partner's facts are None when its account is gone."""

    id: int
    owner_id: int
    partner_id: int | None
    name: str
    user_default_name: str | None
    status: ContactStatus
    partner_name: str | None
    partner_authority: Authority | None
    partner_enabled: bool | None
    created_at: int

    @property
    def usable(self) -> bool:
        """Tell whether both sides exist and the partner's account is enabled."""
        return self.status is ContactStatus.MUTUAL and self.partner_enabled is True

    @property
    def partner_provides(self) -> bool:
        """Tell whether the partner can share domains at all."""
        return (self.partner_authority or Authority.CONSUMER) >= Authority.PROVIDER

    @property
    def mark(self) -> str:
        """Return what stands behind the name of a contact that is not mutual."""
        return ("", "(*)", "(**)")[self.status]

    @property
    def warning(self) -> str:
        """Return why the partner's domains cannot be used, a sentence; "" when they can."""
        if self.status is ContactStatus.PARTNER_DELETED:
            return "The account behind this contact is gone. Delete the contact and its users."
        if self.status is ContactStatus.PARTNER_LEFT:
            return (
                "The partner has deleted this contact. It works again when the partner invites you."
            )
        if not self.partner_enabled:
            return "The partner's account is disabled by the administrator."
        return ""


@dataclass(frozen=True, slots=True)
class ContactInvitation:
    """An invitation to become contacts; `other_id` is the receiver of a sent one, the sender of
    a received one."""

    other_id: int
    other_name: str
    other_authority: Authority
    created_at: int


def short_name(name: str) -> str:
    """Return a contact's name as it stands in angle brackets in the panels of a site."""
    return name if len(name) <= SHORT_NAME else name[:SHORT_NAME] + "..."
