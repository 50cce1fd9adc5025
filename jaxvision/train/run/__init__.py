"""The folder of a run: its record, log and checkpoints, and how it is resumed and restored."""
