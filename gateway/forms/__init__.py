"""Payer forms: population from the record, switches, validation, and whose answer it is.

Pure. The record is a frozen snapshot, the instant and new ids are arguments, logic is asked for through
a protocol. What a guide version spells its own way comes from `gateway.profiles`.
"""
