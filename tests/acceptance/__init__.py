"""Whole orders through the running product."""
