"""Every HTTP door: Stripe's webhook, the API with its gates, health. It asks, records and tells; it decides nothing."""
