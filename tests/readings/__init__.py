"""Second readings: written apart from the product, so that one mistake cannot be on both sides and pass."""
