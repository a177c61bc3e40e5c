"""Small mistakes in what the shipped policy means: ladders, intents, coverage, numbers."""

from __future__ import annotations

from tests.engine.mistakes import Mistake

LETTER = (
    "letter: {reason: a, next: b, invoices: c, pay: d, none: e, "
    "total: f, paid: g, credited: h, open: i, pay_to: j, reference: k}"
)

WRONG_LADDERS = [
    Mistake(
        "M340",
        "abuse.yaml",
        "from: [restricted, stopped], to: clear",
        "from: [clear, stopped], to: restricted",
        "cleared",
        ("M327",),
    ),
    Mistake(
        "M341",
        "billing.yaml",
        "from: past_due\n    to: overdue_warning",
        "from: past_due\n    to: final_warning",
        "warn",
        ("M342",),
    ),
    Mistake("M341", "abuse.yaml", "from: restricted, to: stopped", "from: [clear, restricted], to: stopped", "stop"),
    Mistake(
        "M342",
        "server.yaml",
        "  - {id: back_up,           from: [running, stopped], to: backing_up, event: backup_started,  by: worker}\n",
        "",
        "server",
    ),
    Mistake(
        "M343", "billing.yaml", "after: {suspended_at: retain_after}", "after: {past_due_since: retain_after}", "retain"
    ),
    Mistake("M344", "abuse.yaml", "initial: clear", "initial: restricted", "abuse"),
    Mistake(
        "M345", "billing.yaml", "    to: active\n    when: nothing_owed\n    do:", "    to: active\n    do:", "paid"
    ),
    Mistake("M345", "billing.yaml", "to: past_due, when: owing}", "to: past_due}", "late"),
    Mistake(
        "M345",
        "server.yaml",
        ", after: {provisioning_since: provision_time}",
        "",
        "clear_stale_provisioning_lock",
        ("M385", "M388"),
    ),
    Mistake(
        "M346",
        "billing.yaml",
        "from: mark retention_told",
        "from: mark retention_tell",
        "mark retention_tell",
        ("M346",),
    ),
    Mistake(
        "M329",
        "tenant.yaml",
        "event: suspension_requested, by: customer,",
        "event: suspension_requested, by: customer, when: {fact: exempt, eq: false},",
        "pause",
    ),
    Mistake(
        "M329",
        "tenant.yaml",
        "  - {is: allowed}",
        "  - {is: allowed, when: {fact: exempt, eq: true}}\n  - {is: allowed}",
        "is",
    ),
    Mistake("M347", "abuse.yaml", "  - {is: allowed}\n", "", "in"),
    Mistake("M347", "abuse.yaml", "servers:\n", "servers:\n  - {is: allowed}\n", "is"),
    Mistake(
        "M348",
        "abuse.yaml",
        "is: backup_blocked,     code: ABUSE_RESTRICTED",
        "is: retained, code: ABUSE_RESTRICTED",
        "in",
    ),
]

WRONG_INTENTS = [
    Mistake(
        "M350",
        "billing.yaml",
        "do: [{mark_server_retained: each server}]",
        "do: [{delete_suspended_server: each server}]",
        "delete_suspended_server",
        ("M353",),
    ),
    Mistake("M350", "repairs.yaml", "do: start_server, level", "do: prune_backups, level", "start_stopped"),
    Mistake(
        "M351",
        "billing.yaml",
        "do: [{restore_access: each server}, send_restored",
        "do: [{start_server: each server}, send_restored",
        "start_server",
    ),
    Mistake(
        "M351",
        "repairs.yaml",
        "  - {id: suspended,          when: {server: [suspended_shutdown, retained]}, ",
        "  - {id: suspended,          when: {server: [retained]}, ",
        "start_stopped",
    ),
    Mistake("M352", "billing.yaml", "    do: [block_backups]\n", "", "block_backups", elsewhere="intents.yaml"),
    Mistake("M353", "intents.yaml", "create_backup:   ", "make_backup:   ", "make_backup"),
    Mistake("M354", "billing.yaml", "do: [block_backups]", "do: [{block_backups: each server}]", "block_backups"),
    Mistake(
        "M354",
        "billing.yaml",
        "do: [{mark_server_retained: each server}]",
        "do: [mark_server_retained]",
        "mark_server_retained",
    ),
    Mistake("M354", "server.yaml", "do: [start_server]", "do: [{start_server: each server}]", "start_server"),
    Mistake(
        "M355",
        "billing.yaml",
        ", final_warning_sent_at: notice_before_suspension}",
        ", warning_sent_at: notice_before_suspension}",
        "suspend",
        elsewhere="intents.yaml",
    ),
    Mistake("M355", "intents.yaml", "promises: suspend", "promises: paid", "paid"),
    Mistake(
        "M356",
        "billing.yaml",
        "from: delivered send_billing_warning",
        "from: delivered block_backups",
        "delivered block_backups",
    ),
    Mistake(
        "M356",
        "permits.yaml",
        "notify: send_hold_changed_notice",
        "notify: restore_access",
        "restore_access",
        ("M352",),
    ),
    Mistake(
        "M356",
        "intents.yaml",
        "block_backups:              {kind: effect,",
        "block_backups: {kind: effect, promises: suspend,",
        "promises",
    ),
    Mistake(
        "M357",
        "intents.yaml",
        "start_server:               {kind: command, per: server, wanted_for: [allowed, backup_blocked],",
        "start_server: {kind: command, per: server,",
        "start_server",
    ),
]

WRONG_COVERAGE = [
    Mistake(
        "M360",
        "gates.yaml",
        "host.start:          [yes,     yes,            no,                 no]",
        "host.start: [yes, yes, no]",
        "host.start",
    ),
    Mistake(
        "M360",
        "gates.yaml",
        "    columns:           [clear, restricted, stopped]",
        "    columns: [clear, restricted]",
        "columns",
    ),
    Mistake("M360", "gates.yaml", "    instance.create:   [yes,   no,         no]\n", "", "abuse"),
    Mistake("M361", "gates.yaml", "[yes,   no,         no]", "[yes,   no,         no, yes]", "yes"),
    Mistake("M361", "gates.yaml", "[clear, restricted, stopped]", "[clear, restricted, stopped, gone]", "gone"),
    Mistake("M362", "gates.yaml", "unrestricted: [", "unrestricted: [abuse, ", "abuse"),
    Mistake("M363", "gates.yaml", "  abuse.stopped:            ABUSE_SUSPENDED\n", "", "codes"),
    Mistake("M363", "abuse.yaml", "is: suspended_shutdown, code: ABUSE_SUSPENDED", "is: suspended_shutdown", "in"),
    Mistake("M364", "gates.yaml", "codes:  ", "codes:\n  abuse.clear: NOTHING_IS_WRONG #", "abuse.clear"),
    Mistake("M365", "gates.yaml", "  host.stop:           [", "  instance.create: [", "instance.create"),
    Mistake(
        "M370",
        "notices.yaml",
        "  send_restored_notice:\n",
        "  send_restored_notices:\n",
        "send_restored_notice",
        ("M305",),
        elsewhere="intents.yaml",
    ),
    Mistake(
        "M370",
        "notices.yaml",
        '  abuse.clear:\n    title: "No restriction"\n    message: "There is no report about this account."\n',
        "",
        "clear",
        elsewhere="abuse.yaml",
    ),
    Mistake(
        "M371",
        "notices.yaml",
        "  send_restored_notice:\n",
        "  restore_access:\n    subject: Hi\n    text: Hi\n  send_restored_notice:\n",
        "restore_access",
    ),
    Mistake("M372", "notices.yaml", "Hello {customer_name},", "Hello {customer},", "{customer}"),
    Mistake("M372", "notices.yaml", "here is invoice {invoice_number}", "here is invoice {amount_due}", "{amount_due}"),
    Mistake("M374", "notices.yaml", "Hello {customer_name},", "Hello {customer_name,", "{"),
    Mistake(
        "M370",
        "notices.yaml",
        "  send_first_reminder:\n",
        "  send_first_remindr:\n",
        "send_first_reminder",
        ("M305",),
        elsewhere="intents.yaml",
    ),
    Mistake(
        "M376",
        "notices.yaml",
        "\nstates:  ",
        f"\ntranslations:\n  de:\n    {LETTER.replace('j, reference: k', 'j')}\n    notices:\n      "
        "send_invoice: {subject: '{invoice_number}: {invoice_total}', reason: '{invoice_due_on}', text: "
        "'{customer_name} {billing_url} {support_email} {invoice_first_on} {invoice_last_on}'}\nstates:  ",
        "letter",
    ),
    Mistake(
        "M377",
        "notices.yaml",
        '    subject: "Thank you, your payment has arrived"\n',
        '    subject: "Thank you, your payment has arrived"\n    paper: Receipt\n',
        "paper",
    ),
    Mistake(
        "M377",
        "notices.yaml",
        "  send_credit_note:\n",
        "  send_credit_note:\n    paper: Receipt\n",
        "paper",
    ),
    Mistake(
        "M354",
        "invoice.yaml",
        "do: [send_first_reminder]}\n  - {id: remind_second",
        "do: [send_credit_note]}\n  - {id: remind_second",
        "send_credit_note",
    ),
    Mistake(
        "M376",
        "notices.yaml",
        "\nstates:  ",
        f"\ntranslations:\n  de:\n    {LETTER}\n    notices:\n      send_first_reminder: {{subject: '"
        "{invoice_number}: {invoice_open}', reason: '{invoice_due_on}', "
        "text: '{customer_name} {billing_url} {support_email}'}\nstates:  ",
        "send_first_reminder",
    ),
    Mistake(
        "M373",
        "notices.yaml",
        "Your subscription has ended; your servers run until {stop_at}",
        "Your subscription has ended; your servers run until {suspend_at}",
        "send_subscription_ended_notice",
    ),
    Mistake(
        "M375", "notices.yaml", "\nstates:  ", f"\ntranslations: {{xx: {{{LETTER}, notices: {{}}}}}}\nstates:  ", "xx"
    ),
    Mistake(
        "M375", "notices.yaml", "\nstates:  ", f"\ntranslations: {{en: {{{LETTER}, notices: {{}}}}}}\nstates:  ", "en"
    ),
    Mistake(
        "M376",
        "notices.yaml",
        "\nstates:  ",
        f"\ntranslations:\n  de:\n    {LETTER}\n    notices:\n      "
        "send_restored_notice: {subject: Danke, text: 'Danke, {customer_name}.'}\nstates:  ",
        "send_restored_notice",
    ),
    Mistake(
        "M305",
        "notices.yaml",
        "\nstates:  ",
        f"\ntranslations: {{de: {{{LETTER}, notices: {{send_thanks: {{subject: Danke, text: Danke}}}}}}}}\nstates:  ",
        "send_thanks",
    ),
    Mistake(
        "M373",
        "notices.yaml",
        "Questions? Write to {support_email}.\n\n  send_ret",
        "Until {suspend_at}.\n\n  send_ret",
        "send_restored_notice",
    ),
]

WRONG_NUMBERS = [
    Mistake("M380", "billing.yaml", "{default: 120h, env", "{default: 12h, env", "12h"),
    Mistake(
        "M380",
        "billing.yaml",
        "warning_after:            {default: 0h, ",
        "warning_after: {default: 73h, ",
        "final_warning_after",
    ),
    Mistake(
        "M381",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "BILLING_RETENTION_DAYS",
        env={"BILLING_RETENTION_DAYS": "14 days"},
    ),
    Mistake(
        "M381",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "BILLING_RETENTION_DAYS",
        env={"BILLING_RETENTION_DAYS": "-1"},
    ),
    Mistake(
        "M382",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "BILLING_RETENTION_DAYS",
        env={"BILLING_RETENTION_DAYS": "6"},
    ),
    Mistake(
        "M382",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "final_warning_after",
        env={"BILLING_FINAL_WARNING_AFTER_HOURS": "1", "BILLING_WARNING_GRACE_HOURS": "2"},
    ),
    Mistake(
        "M382",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "BILLING_RETENTION_DAYS",
        env={"BILLING_RETENTION_DAYS": "9999999"},
    ),
    Mistake("M383", "billing.yaml", "{suspended_at: retain_after}", "{suspended_at: 99999d}", "99999d", ("M385",)),
    Mistake(
        "M384",
        "billing.yaml",
        "machine: billing",
        "machine: billing",
        "BILLING_RETENTION_DAYS",
        env={"BILLING_RETENTION_DAY": "20"},
    ),
    Mistake("M385", "billing.yaml", "{suspended_at: retain_after}", "{suspended_at: 72h}", "retain_after"),
    Mistake("M385", "repairs.yaml", "  3: {default:", "  4: {default: live}\n  3: {default:", "4"),
    Mistake("M390", "permits.yaml", "at_least: 1, at_most: 10", "at_least: 20, at_most: 10", "20"),
    Mistake("M390", "permits.yaml", "per: 1h}", "per: 0h}", "0h"),
    Mistake("M391", "maintenance.yaml", "holidays: []", "holidays: [2030-02-30]", "2030-02-30"),
    Mistake(
        "M391",
        "maintenance.yaml",
        "maintenance: []",
        "maintenance: [{from: 2030-13-01T10:00Z, until: 2030-12-01T10:00Z}]",
        "2030-13-01T10:00Z",
    ),
    Mistake(
        "M392",
        "maintenance.yaml",
        "maintenance: []",
        "maintenance: [{from: 2030-12-01T10:00Z, until: 2030-12-01T09:00Z}]",
        "2030-12-01T09:00Z",
    ),
    Mistake(
        "M386", "repairs.yaml", "damping:", "damping:", "BILLING_REPAIR_LEVEL_2", env={"BILLING_REPAIR_LEVEL_2": "on"}
    ),
    Mistake("M393", "repairs.yaml", "do: start_server, level: always,", "do: start_server,", "start_stopped"),
    Mistake("M394", "repairs.yaml", "do: stop_server, level: 2", "do: stop_server, level: 7", "7"),
    Mistake("M394", "repairs.yaml", "do: nothing, alert_after: 15m", "do: nothing, level: 2, alert_after: 15m", "2"),
    Mistake(
        "M397",
        "repairs.yaml",
        "do: shutdown_suspended_server, level: always",
        "do: shutdown_suspended_server, level: 2",
        "shutdown_suspended",
    ),
    Mistake(
        "M397",
        "repairs.yaml",
        "do: disable_autostart, level: always",
        "do: disable_autostart, level: 3",
        "autostart_off",
    ),
    Mistake("M395", "guarantees.yaml", "never: {enter: billing.suspended}", "never: {enter: suspended}", "suspended"),
]

MEANING_MISTAKES = [*WRONG_LADDERS, *WRONG_INTENTS, *WRONG_COVERAGE, *WRONG_NUMBERS]
