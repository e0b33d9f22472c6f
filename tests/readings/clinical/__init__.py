"""The rule of conservative care in plain Python: what the CQL criteria are compared with.

It shares the shape of rule rows, of concepts and of results with the product, and nothing that decides.
"""
