"""What is asked of Stripe: standing before a suspension, what no webhook brought, subscriptions and payments."""
