"""The part that a transaction plays: in a planted case, or in an honest coincidence that looks like one."""

from __future__ import annotations

LOOKALIKES = ("collection", "payback", "passing_on", "phone_day", "spree", "campaign", "kiosk")
ROLES = (
    *(f"lookalike_{name}" for name in LOOKALIKES),
    "probe",
    "purchase",
    "transfer",
    "pay_in",
    "pay_out",
    "leg",
    "scatter",
    "gather",
    "inflow",
    "forward",
)


def role(name: str) -> int:
    """Number of a role.

    >>> ROLES[role("gather")]
    'gather'
    """
    return ROLES.index(name)
