"""Clinical rules over a chart: which row applies, what it asks for, and what the chart shows.

The room is advisory. It says *met*, *unmet* or *cannot tell* for each element of conservative care,
names the resources that decided, and refuses to block, sign, code or promise anything. Codes are
data (`questionnaires/<slug>/concepts.toml`), thresholds are data (`payer_endpoints/rules/*.yaml`);
no payer, procedure, diagnosis or drug is known to the code. Source: spec/clinical.md.
"""
