"""Settings of the whole suite, and the folder of its helper modules on the path."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from hypothesis import HealthCheck, settings

# Fixed examples, so that a red run is red again.  FASTCONV_TEST_EFFORT=10 looks for new ones,
# ten times as many (strategies.examples).
settings.register_profile(
    "fastconv",
    derandomize=os.environ.get("FASTCONV_TEST_EFFORT", "1") == "1",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fastconv")


@pytest.fixture
def ctrl_c_interrupts():
    """Also where the suite runs in the background, and so ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
