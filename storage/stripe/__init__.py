"""What Stripe says: its events taken in, the mirror that is kept of it, and the standing of accounts that follows."""
