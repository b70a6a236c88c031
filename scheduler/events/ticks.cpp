// Filled by the core.
