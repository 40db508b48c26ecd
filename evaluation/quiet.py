"""Terminal manners of the libraries: no progress bars, no notes about defaults, no telemetry."""

import os

SETTINGS = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_TELEMETRY": "1"}


def quieten() -> None:
    """Set what the libraries read when they are imported; what the user has set stays. Call it before them."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
