"""What the product does: plain functions, acting user first; they never commit and know no request."""
