"""Letters as they leave: the two forms of each, and whoever sends those that belong to no account."""
