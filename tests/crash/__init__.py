"""Ending the gateway at random moments and looking whether anything was lost or done twice."""
