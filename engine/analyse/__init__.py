"""What can be known of a machine's rules without running it: which can hold together, and which never can."""
