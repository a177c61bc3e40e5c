"""What a random population went through, as text with bars and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from engine.model import Policy
from engine.simulate.many import HABITS, Totals

BAR = 36
_BOLD, _CYAN, _DIM, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[2m", "\x1b[0m"


def as_text(policy: Policy, totals: Totals, seed: int, seconds: float, *, color: bool) -> str:
    """Return the distributions with their bars, and how long it took."""
    bold, cyan, dim, plain = (_BOLD, _CYAN, _DIM, _PLAIN) if color else ("",) * 4
    rate = totals.accounts / seconds if seconds > 0 else 0.0
    worked = f"{totals.debts:,} debts, {totals.decisions:,} decisions in {seconds:.1f} s, {rate:,.0f} accounts a second"
    lines = [
        f"{bold}{totals.accounts:,} account-years{plain}, seed {seed}: {worked}",
        f"{dim}assumed: {HABITS.fails:.0%} of monthly charges fail; {_paying()}{plain}",
    ]

    def section(title: str, rows: Iterable[tuple[str, int]]) -> None:
        listed = list(rows)
        whole = sum(count for _, count in listed)
        lines.extend(["", f"{bold}{title}{plain}"])
        if not whole:
            lines.append("  none")
            return
        widest, most = max(len(name) for name, _ in listed), max(count for _, count in listed)
        for name, count in listed:
            bar = "█" * round(BAR * count / most) or ("▏" if count else "")
            lines.append(f"  {name:>{widest}}  {cyan}{bar:<{BAR}}{plain} {count:>10,}  {count / whole:7.2%}")

    first = policy.account_machines[0]
    section("days late when servers were stopped", _days(totals.late_days))
    if totals.late_days:
        lines.append(
            f"  median {_quantile(totals.late_days, 0.5)} days, 95 % within {_quantile(totals.late_days, 0.95)}"
        )
    if totals.shortest_notice_hours is not None:
        lines.append(f"  the shortest time from a promise to the stop: {totals.shortest_notice_hours} hours")
    section("notices that an account gets in a year", ((str(n), c) for n, c in sorted(totals.notices.items())))
    section("notices by kind", totals.kinds.most_common())
    section("where a debt is paid", ((state, totals.paid_in[state]) for state in first.ladder))
    section(
        "where an unpaid debt stands at the end", ((s, totals.ends_in[s]) for s in first.ladder if totals.ends_in[s])
    )
    share = totals.stopped / totals.accounts if totals.accounts else 0.0
    lines += ["", f"{totals.stopped:,} accounts ({share:.2%}) had their servers stopped at least once."]
    return "\n".join(line.rstrip() for line in lines)


def _paying() -> str:
    parts = [f"{share:.0%} pay within {high:g} days" for share, _, high in HABITS.pays]
    rest = 1 - sum(share for share, _, _ in HABITS.pays)
    return f"{', '.join(parts)}, {rest:.0%} do not; {HABITS.asks_for_time:.0%} are given time"


def _days(days: Mapping[int, int]) -> Iterable[tuple[str, int]]:
    """Return days one by one while they are few, then in ranges."""
    if not days:
        return []
    width = max(1, (max(days) - min(days)) // 14 + 1)
    grouped: Counter[int] = Counter()
    for day, count in days.items():
        grouped[day // width * width] += count
    return [(str(d) if width == 1 else f"{d} to {d + width - 1}", grouped[d]) for d in sorted(grouped)]


def _quantile(counts: Mapping[int, int], share: float) -> int:
    whole, seen = sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * whole:
            return value
    return max(counts)


def as_json(totals: Totals, seed: int) -> str:
    """Return the counts as one JSON document. The same seed writes the same bytes: it holds no times."""
    told = {
        "seed": seed,
        "accountYears": totals.accounts,
        "debts": totals.debts,
        "decisions": totals.decisions,
        "daysLateWhenStopped": {str(key): totals.late_days[key] for key in sorted(totals.late_days)},
        "noticesPerAccount": {str(key): totals.notices[key] for key in sorted(totals.notices)},
        "noticesByKind": {key: totals.kinds[key] for key in sorted(totals.kinds)},
        "paidIn": {key: totals.paid_in[key] for key in sorted(totals.paid_in)},
        "unpaidIn": {key: totals.ends_in[key] for key in sorted(totals.ends_in)},
        "accountsStopped": totals.stopped,
        "shortestNoticeHours": totals.shortest_notice_hours,
    }
    return json.dumps(told, indent=2)
