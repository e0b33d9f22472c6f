"""Payer forms as data: a folder each with the Questionnaire, its logic, value sets and worked examples."""
