"""A run on disk: its record, its log, how it goes on, and how it comes back."""
