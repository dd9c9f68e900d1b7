"""What the cluster did: signals, who reports them, and the ledger that adds them up."""
