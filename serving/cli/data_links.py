"""`ringfence data links`: which entities are linked, why, and taking a link back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ingestion.errors import UsageError
from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="Links between entities that share an identifier.", no_args_is_help=True)

_First = Annotated[str, typer.Argument(help="One end, TYPE:KEY: the original or its token.")]
_Second = Annotated[str, typer.Argument(help="The other end.")]
_Rule = Annotated[str, typer.Option(help="Rule of the link.")]
_Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
_By = Annotated[str | None, typer.Option("--by", help="Who decides [default: the user of this machine].")]
_At = Annotated[str | None, typer.Option("--at", help="From when on, RFC 3339 [default: now].")]
_AsOf = Annotated[str | None, typer.Option("--as-of", help="What was known then, RFC 3339 [default: now].")]
_Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@app.command(name="list")
def list_links(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    rule: Annotated[str | None, typer.Option(help="Of this rule alone.")] = None,
    entity: Annotated[str | None, typer.Option(help="Of this entity alone, TYPE:KEY.")] = None,
    hubs: Annotated[bool, typer.Option("--hubs", help="Identifiers that too many share, with their number.")] = False,
    revoked: Annotated[bool, typer.Option("--revoked", help="Links that no longer hold.")] = False,
    as_of: _AsOf = None,
    limit: _Limit = 50,
    as_json: JsonOption = False,
) -> None:
    """List links, or the hubs that link nobody.

    Example: ringfence data links list --rule same_device --as-of 2025-02-01T00:00:00Z
    """
    from serving import links

    opened = links.OpenLinks.of(*open_workspace(workspace))
    if hubs:
        body = opened.hubs(rule=rule, limit=limit)
        answer(body, as_json, lambda console: links.show_hubs(console, body))
    else:
        body = opened.list(rule=rule, entity=entity, revoked=revoked, as_of=as_of, limit=limit)
        answer(body, as_json, lambda console: links.show_links(console, body))


@app.command()
def explain(
    first: _First, second: _Second, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Say why two entities are linked: rule, identifier, first transactions of both, decisions.

    Example: ringfence data links explain account:DE89370400440532013000 account:FR7630006000011234567890189
    """
    from serving import links

    body = links.OpenLinks.of(*open_workspace(workspace)).explain(first, second)
    answer(body, as_json, lambda console: links.show_explained(console, body))


@app.command()
def revoke(
    first: _First,
    second: _Second,
    rule: _Rule,
    reason: _Reason,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    by: _By = None,
    at: _At = None,
    as_json: JsonOption = False,
) -> None:
    """End a link from now on; what was known before stays as it was.

    Example: ringfence data links revoke account:A-1 account:A-2 --rule same_device --reason "siblings, one phone"
    """
    _decide("revoke", first, second, rule=rule, reason=reason, workspace=workspace, by=by, at=at, as_json=as_json)


@app.command()
def restore(
    first: _First,
    second: _Second,
    rule: _Rule,
    reason: _Reason,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    by: _By = None,
    at: _At = None,
    as_json: JsonOption = False,
) -> None:
    """Let a revoked link hold again from now on.

    Example: ringfence data links restore account:A-1 account:A-2 --rule same_device --reason "one person after all"
    """
    _decide("restore", first, second, rule=rule, reason=reason, workspace=workspace, by=by, at=at, as_json=as_json)


@app.command()
def components(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    entity: Annotated[str | None, typer.Option(help="The component of this entity, TYPE:KEY.")] = None,
    as_of: _AsOf = None,
    limit: _Limit = 20,
    as_json: JsonOption = False,
) -> None:
    """Show who is connected by links: the largest components, or that of one entity.

    Example: ringfence data links components --entity account:A-1
    """
    from serving import links

    body = links.OpenLinks.of(*open_workspace(workspace)).components(entity=entity, as_of=as_of, limit=limit)
    answer(body, as_json, lambda console: links.show_components(console, body))


def _decide(action: str, first: str, second: str, *, as_json: bool, workspace: Any, **words: Any) -> None:
    from serving import links

    if not words["reason"].strip():
        raise UsageError("A decision needs a reason: someone will ask.", remedy='Say it: --reason "…".')
    body = links.OpenLinks.of(*open_workspace(workspace)).decide(action, first, second, **words)
    answer(body, as_json, lambda console: console.print(links.told(body)))
