"""The demo's invented world: synthetic charts and a small FHIR server that holds them.

Nothing here is used by the gateway itself; it stands in for an EHR, so it knows FHIR and HTTP and
refuses to know anything of payers, forms or cases. No real person, clinic or payer appears.
"""
