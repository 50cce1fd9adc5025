"""Code that the scripts share: groups of settings, the command line, and runs over seeds.

Scripts import it before all libraries, so that Ctrl-C ends them quietly while these are imported.
"""

import os
import pathlib
import signal
import sys
from types import FrameType


def end_quietly(number: int, frame: FrameType | None) -> None:
    """Ends the program at once, with the status of a signal."""
    del frame
    os._exit(128 + number)


_is_started = pathlib.Path(sys.argv[0]).resolve().parent == pathlib.Path(__file__).parents[1]
if _is_started and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_quietly)  # until `script.start`
