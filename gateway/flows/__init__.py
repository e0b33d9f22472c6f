"""Flows: one module per stage, the only place that joins policy, clients, store and provenance.

Each stage has the shape load → decide → do → record: it reads the case, asks a policy for a decision
value, performs at most one effect and appends one signed event. A stage that is run again finds its
own record and stops.
"""
