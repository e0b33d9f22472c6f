"""Everything that leaves the house over the network: EHR, payer and token endpoints.

The room performs effects and makes no decisions. It calls only endpoints that stand in the
configuration, never an address that came in a message; it keeps every answer as the bytes that
came; and it tells apart what was never sent from what was sent with an unknown outcome, because
the rest of the gateway decides by that. It refuses to know what an answer means.
"""
