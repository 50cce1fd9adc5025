"""What `accelerator.py` measures, each section in a file of its own or beside its like."""
