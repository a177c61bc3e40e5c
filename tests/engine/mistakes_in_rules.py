"""Small mistakes in the shipped policy that only show when its rules are judged together."""

from __future__ import annotations

from tests.engine.mistakes import Mistake

RULE_MISTAKES = [
    Mistake(
        "M323",
        "server.yaml",
        "to: stopped,  event: provisioned, by: worker}",
        "to: stopped, event: provisioned, by: worker, when: {fact: observed, eq: stopped}}",
        "provisioned_stopped",
    ),
    Mistake(
        "M324",
        "server.yaml",
        "to: starting, event: provisioned, by: worker, when: {fact: desired, eq: running}, do: [start_server]}",
        "to: starting, event: provisioned, by: worker, do: [start_server]}",
        "provisioned_stopped",
    ),
    Mistake(
        "M325",
        "server.yaml",
        "event: backup_finished, by: worker, when: {fact: observed, eq: running}}",
        "event: backup_finished, by: worker, when: {fact: observed, in: [running, stopped, unknown]}}",
        "{fact: observed, in: [running, stopped, unknown]}",
    ),
    Mistake(
        "M325",
        "ended.yaml",
        "  over: {all: [{fact: subscription, eq: canceled},",
        "  over: {all: [{fact: subscription, eq: canceled}, {fact: subscription, ne: active},",
        "{fact: subscription, ne: active}",
    ),
    Mistake(
        "M326",
        "ended.yaml",
        "  over: {all: [{fact: subscription, eq: canceled},",
        "  over: {all: [{fact: subscription, eq: canceled}, {fact: subscription, eq: active},",
        "{all: [{fact: subscription, eq: canceled}, {fact: subscription, eq: active}, {fact: exempt, eq: false}, "
        "nothing_owed]}",
    ),
    Mistake(
        "M326",
        "billing.yaml",
        "after: {past_due_since: warning_after}",
        "after: {past_due_since: warning_after, suspended_at: retain_after}",
        "suspended_at",
    ),
    Mistake("M327", "ended.yaml", "    from: [stopped, retained]\n", "    from: [stopped]\n", "retained"),
    Mistake(
        "M328",
        "billing.yaml",
        "    to: active\n    when: nothing_owed\n",
        "    to: active\n    when: {any: [nothing_owed, {fact: subscription, eq: past_due}]}\n",
        "late",
    ),
    Mistake(
        "M387",
        "ended.yaml",
        "predicates:\n",
        "predicates:\n  free: {fact: exempt, eq: true}\n",
        "free",
    ),
    Mistake(
        "M388",
        "abuse.yaml",
        "ladder: [",
        "facts:\n  stopped_at: {type: instant, null: not stopped, from: entered stopped}\nladder: [",
        "stopped_at",
    ),
]
