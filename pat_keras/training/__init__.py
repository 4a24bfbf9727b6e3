"""Training as functions of (config, data): no flags, no globals."""
