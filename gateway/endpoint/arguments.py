"""What an application gives an endpoint is judged at once, not when a server meets it (01, 15)."""

from __future__ import annotations

from gateway.access.ports import AccessRule, RolesRule
from gateway.asn1.reader import is_one_sequence
from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.structure import SiteStructure

PASSWORD_MAX = 256
"""Characters of a password that is given to an endpoint (01 section 15.1)."""
_TAG_MIN, _TAG_MAX = 2, 128


def check_password(password: Secret | None) -> None:
    """Raise InvalidInput unless this is the password of an account: 1 to 256 characters."""
    if not isinstance(password, Secret):
        raise InvalidInput("The password is missing, or is no gateway.endpoint.Secret.", "password")
    if not 1 <= len(password) <= PASSWORD_MAX:
        raise InvalidInput(f"The password must have 1 to {PASSWORD_MAX} characters.", "password")


def check_client(service_type: str, contract_author: str, description: str) -> None:
    """Raise InvalidInput for what no server would take of a client (01 section 15.2)."""
    names.service_type(service_type)
    names.contract_author(contract_author)
    names.client_description(description)


def check_rule(rule: AccessRule, structure: SiteStructure) -> None:
    """Raise InvalidInput for a role that the site does not have: nobody could ever hold it.

    The reference refuses it as well (02 section 4.1, 03 section 1.3).
    """
    if not isinstance(rule, RolesRule):
        return
    if not structure.roles:
        raise InvalidInput("The site structure has no roles, so no rule can ask for one.", "rule")
    unknown = [name for name in rule.names if name not in structure.roles]
    if unknown:
        raise InvalidInput(f"The site structure has no role {unknown[0]!r}.", "rule")


def check_tag(tag: bytes | None) -> None:
    """Raise InvalidInput unless the octets can be a session tag."""
    if tag is not None and not (_TAG_MIN <= len(tag) <= _TAG_MAX and is_one_sequence(tag)):
        raise InvalidInput("A session tag is one SEQUENCE of 2 to 128 octets.", "session_tag")
