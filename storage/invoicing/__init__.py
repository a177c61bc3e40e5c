"""The books: what tenants did, what it costs, invoices as issued, what was paid and what was reminded of."""
