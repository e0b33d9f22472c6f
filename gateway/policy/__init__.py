"""Decisions: what a payer's words, a failure, a role or a coverage mean for a case.

Every function takes values and returns a value; rules that change without code are rows in
`tables/`. The room does no I/O, reads no clock and draws no chance: instants and jitter come in.
"""
