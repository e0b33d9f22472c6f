"""ELM and FHIRPath over a frozen record snapshot. Pure: no server is called, no clock is read."""
