"""One thread per test process: two of them run side by side."""

import os
import sys

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
alone = any(name in word for name in ("test_device", "test_vllm") for word in sys.argv)
if not alone and "PYTEST_XDIST_WORKER" not in os.environ:  # all others compare with tensors of the CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

APART = ("test_commands.py", "test_shadows.py")  # of the workflow's tests, those that need no build of the smoke size


class _ByFile(LoadScopeScheduling):
    """A file goes to one process, in the order given; the files on the builds of the smoke size go as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "smoke" if file.startswith("tests/workflow/") and not file.endswith(APART) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    config.option.loadscopereorder = False
    return _ByFile(config, log)
