"""An investigation and similar parties on a terminal (rich). Text from the data is printed, never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction, Neighborhood
from retrieval.evidence import MemoFact
from retrieval.investigation import Display, Investigation
from retrieval.similar import Similar
from retrieval.untrusted import MAX_LENGTH, normalize
from retrieval.wording import format_amount, format_number, format_time, plural

_STANCE_STYLES = {"supporting": "red", "contradicting": "green", "neutral": "", "missing": "yellow"}
MAX_LINKS = 12


def show_investigation(console: Console, found: Investigation, *, display: Display = str) -> None:
    """Print the narrative with its citations, the link chart, similar parties, what is missing, the next check."""
    console.print(Panel(_headline(found), title=Text(normalize(found.subject)), expand=False))
    console.print(narrative_text(found, display))
    memos = [item for item in found.evidence if isinstance(item, MemoFact)]
    for item in memos:
        console.print(Text(f"Memo, as data [{item.id}]: “{item.text}”{' (cut)' if item.is_cut else ''}", style="dim"))
    if found.removed:
        console.print(Text(f"{plural(len(found.removed), 'statement')} removed by the verifier.", style="yellow"))
    console.print(link_tree(found.neighborhood, found.known_frauds, display))
    if found.similar:
        show_similar(console, str(found.party), found.similar, display=display)
    for text in found.missing:
        console.print(Text(f"Missing: {normalize(text)}", style="yellow"))
    cited = f" [{', '.join(found.next_check.evidence_ids)}]" if found.next_check.evidence_ids else ""
    console.print(Text(f"Next best check: {found.next_check.text}{cited}", style="bold"))


def show_similar(console: Console, entity: PartyRef | str, found: Sequence[Similar], *, display: Display = str) -> None:
    """Print similar parties with reasons and how they ended as known by then."""
    if not found:
        console.print(Text(f"No party of the same type is in the index beside {normalize(str(entity))}."))
        return
    table = Table(title=Text(f"Parties that look like {normalize(str(entity))}"), title_justify="left")
    table.add_column("party")
    table.add_column("similarity", justify="right")
    table.add_column("known frauds", justify="right")
    table.add_column("why")
    for item in found:
        frauds = item.outcome.num_known_frauds
        table.add_row(
            Text(_name(item.ref, display)),
            format_number(item.similarity),
            Text(str(frauds), style="red" if frauds else ""),
            Text("; ".join(item.reasons) or "the model alone sees it"),
        )
    console.print(table)


def narrative_text(found: Investigation, display: Display = str) -> Text:
    """Sentences, one a line, each with the ids of its evidence, colored by its stance."""
    stance = {item.id: item.stance for item in found.evidence}
    text = Text()
    for claim in found.narrative:
        style = _STANCE_STYLES[stance[claim.evidence_ids[-1]]]
        text.append("• ", style=style or "dim")
        text.append(normalize(found.shown(claim.text, display)))
        text.append(f" [{', '.join(claim.evidence_ids)}]\n", style="dim")
    return text


def link_tree(around: Neighborhood, known_frauds: dict[PartyRef, int], display: Display = str) -> Tree:
    """The center's newest links, with the known frauds of the other end."""
    tree = Tree(Text(f"{_name(around.center, display)} as of {format_time(around.as_of)}", style="bold"))
    links = [item for item in around.transactions if around.center in (item.source, item.target, *item.parties)]
    for item in links[:MAX_LINKS]:
        tree.add(_link(item, around.center, known_frauds, display))
    for use in [use for use in around.uses if around.center in (use.user, use.used)][:MAX_LINKS]:
        is_user = use.user == around.center
        other = use.used if is_user else use.user
        line = Text(f"{'uses' if is_user else 'used by'} {_name(other, display)}")
        line.append(f", first known at {format_time(use.first_known_at)}", style="dim")
        tree.add(line.append(_frauds(other, known_frauds)))
    left_out = max(0, len(links) - MAX_LINKS)
    if left_out or around.center in around.capped:
        tree.add(Text(f"… more: {plural(left_out, 'transaction')} read and not shown here", style="dim"))
    if around.stale:
        tree.add(Text("read from the snapshot: the graph server is away", style="yellow"))
    return tree


def _headline(found: Investigation) -> Text:
    text = Text(f"{_name(found.party, str)} as of {format_time(found.as_of)}")
    if found.alert is not None:
        text.append(f"\nscore {format_number(found.alert.score)}", style="bold red")
        text.append(f", threshold {format_number(found.alert.threshold)}, model {found.alert.model_id}")
    if found.risk is not None and found.risk.value is not None:
        text.append(f"\nrisk of 7 days {format_number(found.risk.value)} ({plural(found.risk.num_scored, 'score')})")
    if found.release_id is not None:
        text.append(f"\nrelease {found.release_id}", style="dim")
    return text


def _link(item: GraphTransaction, center: PartyRef, known_frauds: dict[PartyRef, int], display: Display) -> Text:
    outgoing = item.source == center
    other = item.target if outgoing else item.source
    arrow = "→" if outgoing else "←"
    amount = format_amount(item.amount_minor, item.currency)
    line = Text(f"{arrow} {_name(other, display)}  {amount}  {item.kind}, ")
    line.append(item.outcome, style="yellow" if item.outcome == "declined" else "")
    return line.append(f"  {format_time(item.event_time)}", style="dim").append(_frauds(other, known_frauds))


def _name(ref: PartyRef, display: Display) -> str:
    """A party's name without control characters: keys come with the data and must not steer a terminal."""
    return normalize(display(ref))[:MAX_LENGTH]


def _frauds(ref: PartyRef, known_frauds: dict[PartyRef, int]) -> Text:
    number = known_frauds.get(ref, 0)
    return Text(f"  {plural(number, 'known fraud')}", style="red") if number else Text("")
