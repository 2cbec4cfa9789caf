"""The tasks that the simulated Tasker works on: their steps, how often, how long, how flaky.

Made up, and shaped so that every kind of graph occurs: a diamond, a chain, a fan-out, a
fan-in. What goes wrong besides a step's own flakiness is decided in ``workload.py``.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["RECIPES", "Recipe", "StepPlan"]


@attrs.frozen
class StepPlan:
    """One named step.

    Args:
        name: what it is called.
        seconds: the median of how long one attempt takes, > 0.
        after: names of the steps that must be done first.
        flaky: share of attempts that fail though another one may succeed, 0..1.
        retry_limit: how many attempts it gets; None leaves it to Tasker, which takes 3.
    """

    name: str
    seconds: float
    after: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    flaky: float = attrs.field(default=0.01, kw_only=True)
    retry_limit: int | None = attrs.field(default=3, kw_only=True)


@attrs.frozen
class Recipe:
    """One named task.

    Args:
        name: what it is called.
        every_seconds: the mean time between two arrivals.
        steps: its steps, parents before children.
        batch: how many arrive at once.
    """

    name: str
    every_seconds: float
    steps: tuple[StepPlan, ...]
    batch: int = attrs.field(default=1, kw_only=True)


RECIPES: Final = (
    Recipe(
        "order_fulfilment",
        9,
        (
            StepPlan("validate_cart", 0.2),
            StepPlan("reserve_stock", 0.6, after=("validate_cart",), flaky=0.03),
            StepPlan("authorize_payment", 1.2, after=("validate_cart",), flaky=0.12),
            StepPlan("create_shipment", 0.9, after=("reserve_stock", "authorize_payment")),
            StepPlan("send_confirmation", 0.3, after=("create_shipment",), flaky=0.04),
        ),
    ),
    Recipe(
        "user_sign_up",
        12,
        (
            StepPlan("create_account", 0.3),
            StepPlan("send_welcome_mail", 0.5, after=("create_account",), flaky=0.05),
            StepPlan("provision_profile", 0.8, after=("create_account",)),
            StepPlan("notify_crm", 1.0, after=("create_account",), flaky=0.18, retry_limit=5),
        ),
    ),
    Recipe(
        "media_transcode",
        25,
        (
            StepPlan("inspect_source", 1.5),
            StepPlan("transcode_1080p", 40, after=("inspect_source",), flaky=0.04),
            StepPlan("transcode_720p", 24, after=("inspect_source",), flaky=0.04),
            StepPlan("transcode_audio", 8, after=("inspect_source",)),
            StepPlan(
                "package_streams",
                3,
                after=("transcode_1080p", "transcode_720p", "transcode_audio"),
            ),
            StepPlan("publish_media", 0.6, after=("package_streams",), flaky=0.06),
        ),
    ),
    Recipe(
        "sales_report",
        180,
        (
            StepPlan("extract_orders", 6, flaky=0.05),
            StepPlan("extract_refunds", 4, flaky=0.05),
            StepPlan("extract_stock", 5, flaky=0.05),
            StepPlan(
                "join_extracts", 3, after=("extract_orders", "extract_refunds", "extract_stock")
            ),
            StepPlan("publish_report", 0.8, after=("join_extracts",), retry_limit=None),
        ),
    ),
    Recipe(
        "invoice_run",
        420,
        (
            StepPlan("collect_lines", 0.8),
            StepPlan("compute_tax", 0.5, after=("collect_lines",), flaky=0.08),
            StepPlan("render_document", 1.6, after=("compute_tax",)),
            StepPlan("archive_document", 0.4, after=("render_document",), retry_limit=2),
            StepPlan("mail_invoice", 0.6, after=("archive_document",), flaky=0.08),
        ),
        batch=12,
    ),
)
"""About one task in four seconds; orders and sign-ups most of all, transcodings longest."""
