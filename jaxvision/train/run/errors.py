"""Errors of run folders."""


class SettingsError(ValueError):
    """A run is continued with settings that differ from its own."""


class RunFolderError(OSError):
    """A run's folder cannot be written; the message says where and why."""
