"""Doors for machines: orders, cases, forms, FHIR, notifications, health. Thin: they read, call a flow, answer."""
