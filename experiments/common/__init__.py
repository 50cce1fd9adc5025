"""Code that the scripts share: groups of settings, the command line, and runs over seeds."""
