"""Ctrl-C ends a process that does not answer it, and a second one ends it at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import zfnet

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(zfnet.__file__).parents[1])}
HEAD = """
import contextlib, os, signal, time
from zfnet.core import interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests themselves may ignore it
signal.alarm(60)
interrupt.PATIENCE = 0.5
interrupt.watch_interrupts()
"""
SWALLOWS = """
with contextlib.suppress(KeyboardInterrupt):
    print("at work", flush=True)
    time.sleep(60)
print("swallowed", flush=True)
"""


def start(*parts):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", "".join([HEAD, *parts])], env=ENVIRONMENT, **pipes)


def press(process):
    process.send_signal(signal.SIGINT)


def test_a_process_that_swallows_ctrl_c_is_ended():
    with start(SWALLOWS, "time.sleep(60)") as process:
        assert process.stdout.readline() == "at work\n"
        press(process)
        out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "swallowed\n")
    assert error.strip() == "zfnet: interrupted; the same command resumes from here"


HOLDS = """
with interrupt.uninterrupted:
    print("holds", flush=True)
    for _ in range({tenths}):
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(0.1)
    print("finished", flush=True)
time.sleep(60)
"""


def test_what_must_be_finished_is():
    with start(SWALLOWS, HOLDS.format(tenths=15)) as process:
        assert process.stdout.readline() == "at work\n"
        press(process)
        assert process.communicate(timeout=30)[0] == "swallowed\nholds\nfinished\n"
    assert process.returncode == 130


def test_a_second_ctrl_c_ends_it():
    with start(SWALLOWS, HOLDS.format(tenths=500)) as process:
        assert process.stdout.readline() == "at work\n"
        press(process)
        assert [process.stdout.readline() for _ in range(2)] == ["swallowed\n", "holds\n"]
        time.sleep(0.3)  # later than the same one that another process forwards
        press(process)
        assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == 130


def test_a_process_whose_parent_has_gone_is_interrupted():
    child = "interrupt.end_with_parent()\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HEAD + child!r}])"
    with start(parent) as process:
        process.stdout.readline()
        process.kill()
        out, error = process.communicate(timeout=30)  # when the child has closed the pipes, too
    assert "KeyboardInterrupt" in error
