"""Everything durable: tables, migrations, settings, the ledger, intents, audit, and the embedded servers."""
