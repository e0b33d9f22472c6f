"""The checks of a verification, one question each. Every check reads the evidence and yields findings."""
