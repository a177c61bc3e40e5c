"""Black-box tests of the contract: everything runs as separate processes and is reached over HTTP only."""
