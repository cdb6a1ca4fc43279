"""Threads and memory of the process."""

import platform
import subprocess
import sys

import pytest
import torch

from zfnet.core.machine import one_thread


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


FAULTS = """
import resource
import torch
from zfnet.core.machine import keep_memory

{}
for cycle in range(40):
    if cycle == 20:  # warm
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)  # 64 MB, 16,384 pages, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_memory_that_is_kept_is_not_asked_of_the_kernel_again():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format("keep_memory()")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # 327,680 where nothing is kept
