"""What people read: tables and one-line accounts of results."""
