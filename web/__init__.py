"""Every HTTP door: Stripe's webhook, the API with its gates, health. Decides nothing by itself: it asks, records and tells."""
