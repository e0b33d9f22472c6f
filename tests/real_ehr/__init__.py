"""The demonstration with an independent FHIR server in place of the synthetic EHR."""
