"""Pictures and arrays to observations and back; numpy only."""
