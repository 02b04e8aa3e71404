"""The verbs of `ctl` about people: accounts, contacts, invitations, mail, guests, the audit.

What is of an account, its contacts above all, is asked with a token of that account
(`token add` in its name, on its page ACCOUNT); the token of the box has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.cli.ctl_call import Gateway
from gateway.cli.ctl_words import Argument, Verb, given, number

_STATES = ("valid", "accepted", "expired", "account-gone")
_ACCOUNT = ("id", "account_name", "full_name", "authority", "enabled", "last_login_at")
_CONTACTS = ("id", "name", "status", "partner_name", "user_default_name", "warning")
_SHARED = ("id", "description", "state", "services", "users", "roles", "shared_uri", "guest_path")
_INVITATIONS = ("id", "state", "email", "text", "make_provider", "expires_at", "path")
_LETTERS = ("id", "state", "purpose", "to", "attempts", "last_error", "expires_at", "link")
_CLIENT = ("id", "key", "uri", "user_name", "online", "status", "ping_period")

_PERSON, _CONTACT = number("person", "id of the other account"), number("contact")
_OWNER, _DOMAIN, _SITE, _USER = number("owner"), number("domain"), number("site"), number("user")
_INVITATION, _LETTER, _REQUEST = number("invitation"), number("letter"), number("request")
_LINK = Argument("--link-file", "file with the link; - for standard input", secret=True)
_PASSWORD = Argument("--password-file", "file with the password; - for standard input", secret=True)
_LINK_AND_PASSWORD = (_LINK, _PASSWORD)
_NEW_ACCOUNT = (Argument("account_name"), Argument("full_name"))
_INVITED = (
    Argument("--email", "where to mail it"), Argument("--text", "a note for the administrators"),
    Argument("--make-provider", "the new account may have domains", bool),
)  # fmt: skip


def _shared_user(_: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    body = {"contact_id": values["contact"], "dedicated": not values["undedicated"]}
    return body | {"enabled": not values["disabled"], "name": values["name"]}


def _setting(_: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": values["name"], "value": values["value"]}


PEOPLE: tuple[Verb, ...] = (
    Verb("account", "show", "show one's own account", "GET", "/account", columns=_ACCOUNT),
    Verb("account", "set-name", "change one's own full name", "PUT", "/account/name",
         (Argument("full_name"),), given("full_name"), _ACCOUNT),
    Verb("account", "set-password", "change one's own password", "POST", "/account/password", (
        Argument("--current-file", "file with the present password", secret=True), _PASSWORD,
    ), given("current", "password")),
    Verb("account", "set-email", "ask for another mail address; its link confirms it", "POST",
         "/account/email", (Argument("email"),), given("email"), ("outcome",)),
    Verb("account", "forget-email", "take the mail address off one's own account", "DELETE",
         "/account/email", columns=_ACCOUNT),
    Verb("owner", "unlock", "take back a lock that wrong passwords brought", "POST",
         "/owners/{owner}/unlock", (_OWNER,), columns=_ACCOUNT),
    # what is shared with whom
    Verb("contact", "list", "list one's own contacts", "GET", "/contacts", columns=_CONTACTS),
    Verb("contact", "show", "show a contact with the domains that are shared", "GET",
         "/contacts/{contact}", (_CONTACT,), columns=(
             "contact.name", "contact.status", "warning", "contact_domains", "shared_domains")),
    Verb("contact", "edit", "name a contact, and how its users are called at first", "PUT",
         "/contacts/{contact}",
         (_CONTACT, Argument("name"), Argument("--user-default-name", "for its next user")),
         given("name", "user_default_name"), _CONTACTS),
    Verb("contact", "delete", "delete a contact with its users and their clients", "DELETE",
         "/contacts/{contact}", (_CONTACT,)),
    Verb("contact", "domain", "list the sites of a contact's domain where one has rights", "GET",
         "/contacts/{contact}/domains/{domain}", (_CONTACT, _DOMAIN), columns=_SHARED),
    Verb("contact", "shared", "list the sites of one's own domain that a contact sees", "GET",
         "/contacts/{contact}/shared/{domain}", (_CONTACT, _DOMAIN), columns=_SHARED),
    Verb("contact", "search", "search people to invite, 15 at a time", "GET", "/people", (
        Argument("q", "words of the name, in order", optional=True),
        Argument("--after-name", "go on after this name"),
        Argument("--after-id", "and this id", int),
        Argument("--before-name", "go back before this name"),
        Argument("--before-id", "and this id", int),
    ), columns=("id", "full_name", "provider"),
        query=("q", "after_name", "after_id", "before_name", "before_id")),
    Verb("contact", "sent", "list the invitations that nobody answered yet", "GET",
         "/contact-invitations/sent", columns=("other_id", "other_name", "created_at")),
    Verb("contact", "received", "list the invitations that wait for one's answer", "GET",
         "/contact-invitations/received", columns=("other_id", "other_name", "created_at")),
    Verb("contact", "invite", "invite a person to be a contact", "POST",
         "/people/{person}/invitation", (_PERSON,), columns=("outcome",)),
    Verb("contact", "withdraw", "take back an invitation", "DELETE",
         "/people/{person}/invitation", (_PERSON,)),
    Verb("contact", "accept", "accept an invitation", "POST", "/people/{person}/accept",
         (_PERSON,), columns=_CONTACTS),
    Verb("contact", "refuse", "refuse an invitation", "POST", "/people/{person}/refuse",
         (_PERSON,)),
    Verb("user", "share", "create a user for a contact", "POST",
         "/domains/{domain}/contact-users", (
             _DOMAIN, _CONTACT,
             Argument("name", "else as the contact's default says", optional=True),
             Argument("--undedicated", "give it the defaults too", bool),
             Argument("--disabled", "do not let it in yet", bool),
         ), _shared_user, ("id", "domain_id", "kind", "name", "dedicated", "enabled")),
    Verb("user", "sights", "say what a user can see, and why", "GET", "/users/{user}/sights",
         (_USER,), columns=("site_id", "site", "services", "reasons", "roles", "clients",
                            "hindrances"), rows="sights"),
    Verb("service", "viewers", "say who can see what a service offers, and why", "GET",
         "/services/{service}/viewers", (number("service"),), columns=(
             "user_id", "user", "can", "reasons", "roles", "clients", "hindrances"),
         rows="viewers"),
    Verb("client", "add-guest", "add a guest client of one's own on a public site", "POST",
         "/sites/{site}/guest-clients", (_SITE,), columns=_CLIENT),
    # guests by mail: the link is the right to do it
    Verb("guest-link", "create", "have the link mailed that creates a guest client", "POST",
         "/guest-links/create",
         (Argument("site_key", "key of the site, as its guest page has it"), Argument("email")),
         given("site_key", "email"), ("outcome",), needs_token=False),
    Verb("guest-link", "browse", "have the link mailed that lists one's guest clients", "POST",
         "/guest-links/browse", (Argument("email"),), given("email"), ("outcome",),
         needs_token=False),
    Verb("guest-link", "edit", "have the link mailed that edits a guest client", "POST",
         "/guest-links/edit", (number("client_id", "id of the client"), _LINK),
         given("link", "client_id"), ("outcome",), needs_token=False),
    Verb("guest-link", "another", "have a link mailed that creates another client", "POST",
         "/guest-links/another", (number("site_id", "id of the site"), _LINK),
         given("link", "site_id"), ("outcome",), needs_token=False),
    Verb("guest-link", "list", "list the guest clients of a browsing link", "POST",
         "/guest-links/list", (_LINK,), given("link"), (
             "owner", "domain", "site.id", "site.description", "site.clients", "refusal"),
         needs_token=False, rows="sites"),
    Verb("guest-link", "use", "create the client of a link; shown once", "POST",
         "/guest-links/use", (_LINK,), given("link"), ("id", "uri", "password"),
         needs_token=False),
    Verb("guest-link", "generate-password", "draw a password for a link's client", "POST",
         "/guest-links/password", (_LINK,), given("link"), ("id", "uri", "password"),
         needs_token=False),
    Verb("guest-link", "ping-period", "set the ping period of a link's client", "POST",
         "/guest-links/ping-period",
         (Argument("ping_period", "10 to 300 seconds, or 0", int), _LINK),
         given("link", "ping_period"), _CLIENT, needs_token=False),
    Verb("guest-link", "delete", "delete the client of a link", "POST", "/guest-links/delete",
         (_LINK,), given("link"), needs_token=False),
    # links that open something to whoever holds them
    Verb("link", "register", "ask for an account", "POST", "/links/register",
         (Argument("email"), Argument("--message", "to the administrator")),
         given("email", "message"), ("answer",), needs_token=False),
    Verb("link", "forgot", "ask for the link that sets a new password", "POST", "/links/forgot",
         (Argument("name", "account or mail address"),), given("name"), ("answer",),
         needs_token=False),
    Verb("link", "locked", "ask for the link that unlocks an account", "POST", "/links/locked",
         (Argument("name", "account or mail address"),), given("name"), ("answer",),
         needs_token=False),
    Verb("link", "invitation", "create an account by an invitation", "POST", "/links/invitation",
         (*_NEW_ACCOUNT, Argument("--email"), *_LINK_AND_PASSWORD),
         given("link", "account_name", "full_name", "password", "email"), needs_token=False),
    Verb("link", "sign-up", "create the account that a link confirms", "POST", "/links/sign-up",
         (*_NEW_ACCOUNT, *_LINK_AND_PASSWORD),
         given("link", "account_name", "full_name", "password"), needs_token=False),
    Verb("link", "reset", "set the password that a link allows to set", "POST", "/links/reset",
         _LINK_AND_PASSWORD, given("link", "password"), needs_token=False),
    Verb("link", "unlock", "unlock the account that a link is about", "POST", "/links/unlock",
         (_LINK,), given("link"), needs_token=False),
    Verb("link", "confirm-email", "take the mail address that a link confirms", "POST",
         "/links/confirm-mail", (_LINK,), given("link"), needs_token=False),
    # registration
    Verb("invitation", "list", "list the invitations to register", "GET", "/invitations",
         (Argument("--state", choices=_STATES),), columns=_INVITATIONS, query=("state",)),
    Verb("invitation", "add", "invite a person to register", "POST", "/invitations", _INVITED,
         given("email", "text", "make_provider"), _INVITATIONS),
    Verb("invitation", "edit", "change an invitation; what is not given is emptied", "PUT",
         "/invitations/{invitation}", (_INVITATION, *_INVITED),
         given("email", "text", "make_provider"), _INVITATIONS),
    Verb("invitation", "send", "mail an invitation to its address", "POST",
         "/invitations/{invitation}/send", (_INVITATION,)),
    Verb("invitation", "delete", "delete an invitation", "DELETE", "/invitations/{invitation}",
         (_INVITATION,)),
    Verb("invitation", "clear", "delete all accepted or expired invitations", "POST",
         "/invitations/clear", (Argument("state", choices=_STATES),), given("state")),
    Verb("request", "list", "list the accounts that were asked for", "GET", "/account-requests",
         columns=("id", "email", "message", "source", "created_at")),
    Verb("request", "approve", "turn a request into an invitation", "POST",
         "/account-requests/{request}/approve", (_REQUEST,), columns=_INVITATIONS),
    Verb("request", "dismiss", "throw a request away", "DELETE", "/account-requests/{request}",
         (_REQUEST,)),
    # the server
    Verb("setting", "list", "list the settings of the server with their defaults", "GET",
         "/settings", columns=("name", "value", "default", "changed", "unit", "help")),
    Verb("setting", "set", "set a value", "PUT", "/settings",
         (Argument("name"), Argument("value")), _setting),
    Verb("setting", "reset", "restore a default", "PUT", "/settings", (Argument("name"),),
         given("name"), fixed={"reset": True}),
    Verb("mail", "set-password", "keep the password of the mail server; empty: forget it", "PUT",
         "/mail/password", (_PASSWORD,), given("password")),
    Verb("mail", "test", "send a test message; when it is taken, mail travels so", "POST",
         "/mail/test", (Argument("to", "mail address"),), given("to")),
    Verb("outbox", "list", "list the messages with the links of those not sent", "GET", "/outbox",
         (Argument("--before", "older than this id", int),), columns=_LETTERS, query=("before",)),
    Verb("outbox", "hand-over", "note that a link was given to its reader", "POST",
         "/outbox/{letter}/hand-over", (_LETTER,), columns=_LETTERS),
    Verb("outbox", "retry", "send a message that failed once more", "POST",
         "/outbox/{letter}/retry", (_LETTER,), columns=_LETTERS),
    Verb("outbox", "delete", "take a message out; its link stays good", "DELETE",
         "/outbox/{letter}", (_LETTER,)),
    Verb("audit", "list", "list what was done, newest first", "GET", "/audit", (
        Argument("--limit", "rows", int), Argument("--before", "older than this row", int),
        Argument("--action", "one action, or all that begin so: client.*"),
        Argument("--object", "as in: site 3"), Argument("--actor-id", "who did it", int),
        Argument("--outcome", "done, denied ..."),
        Argument("--since", "Unix time of the first second", int),
        Argument("--until", "Unix time of the first second not wanted", int),
        Argument("--text", "occurs in address, action, object or detail"),
    ), columns=("id", "at", "actor_id", "address", "action", "object", "detail", "outcome"),
        query=("limit", "before", "action", "object", "actor_id", "outcome", "since", "until",
               "text")),
    Verb("audit", "check", "check that no row was removed or changed; 1 when one was", "GET",
         "/audit/chain", columns=("whole", "rows", "broken_at", "missing", "finding", "head"),
         sound="whole"),
)  # fmt: skip
