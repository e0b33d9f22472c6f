"""Who the payers are and what they ask for, as data: payer rows, rule rows, and simulated payers.

Rows live in `payers/*.toml` and `rules/*.yaml`; README.md says how to add one.
"""
