"""All Da Vinci, SDC and X12 knowledge: canonical urls, code tables, readers and builders.

One module per guide and version (`crd_2_2_1`, `pas_2_0_1`, …) with the same function names in each.
Readers are liberal across versions, writers exact. The room is pure: no effects, no clock, and no
decisions, which belong to `gateway.policy`.
"""
