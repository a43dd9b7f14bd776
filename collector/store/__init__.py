"""What is remembered: the only SQLAlchemy in the product. Functions take a connection and return domain values."""
