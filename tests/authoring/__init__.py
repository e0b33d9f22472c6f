"""Authoring of our own CQL: `python -m tests.authoring` translates it, the tests prove that text and ELM agree."""
