"""What the scripts share: groups of settings that make things, and the runs over seeds."""
