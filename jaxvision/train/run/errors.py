"""What goes wrong with a run's folder."""


class SettingsError(ValueError):
    """A run is continued with settings that are not its own."""


class RunFolderError(OSError):
    """A run's folder cannot be written; the message says where and why."""
