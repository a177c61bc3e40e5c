"""What operators type about what is durable: audit, database, operations, admins, and the policy in force."""
