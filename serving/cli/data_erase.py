"""`ringfence data erase` and `data hold`: the originals of a party leave the vault, unless a legal hold keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ingestion.errors import UsageError
from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace

if TYPE_CHECKING:
    from ingestion.contracts import PartyRef

hold_app = typer.Typer(help="Legal holds: parties that may not be erased.", no_args_is_help=True)

PartyArgument = Annotated[str, typer.Argument(help="TYPE:KEY, the key an original or its token.")]


def register(app: typer.Typer) -> None:
    """Add `erase` and `hold` to the group."""
    app.command()(erase)
    app.add_typer(hold_app, name="hold")


def erase(
    party: PartyArgument,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so without the original.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Erase a party's originals from the vault, with what is tied to it alone; its tokens stay.

    Example: ringfence data erase account:DE89370400440532013000 --reason "request 12"
    """
    from ingestion.erasure import erase as run

    opened, _ = open_workspace(workspace)
    done = run(opened, _party(party), reason=reason)
    body = {"token": done.token, "tied": list(done.tied), "originals_erased": done.num_originals}
    answer(
        body,
        as_json,
        lambda console: console.print(
            f"{done.num_originals} originals erased: {done.token} and {len(done.tied)} tied to it. Tokens stay."
        ),
    )


@hold_app.command()
def add(
    party: PartyArgument,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so without the original.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Put a party under a legal hold.

    Example: ringfence data hold add account:DE89370400440532013000 --reason "case 7"
    """
    from ingestion.erasure import token_of
    from ingestion.vault import Vault

    opened, _ = open_workspace(workspace)
    named = _party(party)
    token = token_of(opened, named)
    if not reason.strip() or (token != named.key and named.key in reason):
        raise UsageError("The reason is kept: it may be neither empty nor repeat the original.", remedy="Mend it.")
    Vault.of(opened).hold(token, reason=reason)
    answer({"token": token, "held": True}, as_json, lambda console: console.print(f"{token} is under a legal hold."))


@hold_app.command()
def remove(party: PartyArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Lift the legal hold of a party.

    Example: ringfence data hold remove account:DE89370400440532013000
    """
    from ingestion.erasure import token_of
    from ingestion.vault import Vault

    opened, _ = open_workspace(workspace)
    token = token_of(opened, _party(party))
    if not Vault.of(opened).lift_hold(token):
        raise UsageError(f"{token} is under no legal hold.", remedy="See `ringfence data hold list`.")
    answer({"token": token, "held": False}, as_json, lambda console: console.print(f"The hold of {token} is lifted."))


@hold_app.command(name="list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """List the legal holds.

    Example: ringfence data hold list
    """
    from ingestion.vault import Vault

    opened, _ = open_workspace(workspace)
    holds = [
        {"token": token, "held_at": moment, "reason": reason}
        for token, (moment, reason) in Vault.of(opened).holds().items()
    ]
    lines = [f"{row['token']}  {row['held_at']}  {row['reason']}" for row in holds]
    answer(
        {"holds": holds},
        as_json,
        lambda console: console.print("\n".join(lines) or "There is no legal hold.", markup=False),
    )


def _party(text: str) -> PartyRef:
    from ingestion.contracts import PartyRef

    kind, _, key = text.partition(":")
    if not kind or not key:
        raise UsageError("A party is TYPE:KEY.", remedy="For example account:DE89370400440532013000.")
    return PartyRef(type=kind, key=key)
