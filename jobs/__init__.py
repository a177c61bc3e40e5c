"""Everything that runs later or touches the world: workers, sweeps, the controller, hosts, mail."""
