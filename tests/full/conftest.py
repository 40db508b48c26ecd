"""Tests with the real vLLM exist where SUITE_VLLM_PYTHON names the python of an environment that has it;
those of 8-bit weights where torchao is installed."""

import importlib.util
import os

collect_ignore = [] if os.environ.get("SUITE_VLLM_PYTHON") else ["test_vllm.py"]
collect_ignore += [] if importlib.util.find_spec("torchao") else ["test_int8.py"]
