"""The prior-authorization gateway: a completed order in, a decided authorization and evidence out."""
