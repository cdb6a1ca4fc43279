"""Items in several processes: results in order, errors as they are, and no process outlives its context."""

import math
import operator
import os
import pickle

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.core.workers import WAITING, Workers
from zfnet.networks.convnet import build


def test_any_number_of_processes_gives_the_same_results_in_order():
    drawn = []
    items = (drawn.append(i) or float(i) for i in range(40))
    with Workers(2) as workers:
        results = workers.map(divmod, items, 7.0)
        first = next(results)
        assert len(drawn) == 2 * WAITING  # the others wait
        assert [first, *results] == [divmod(float(i), 7.0) for i in range(40)]
        squares = np.arange(6.0).reshape(3, 2)
        (product,) = workers.map(operator.matmul, [squares], squares.T)
        assert np.array_equal(product, squares @ squares.T)
        processes = set(workers.map(operator.call, [os.getpid] * 20))
        assert 1 <= len(processes) <= 2 and os.getpid() not in processes
        with pytest.raises(ZeroDivisionError):
            list(workers.map(divmod, [1, 2], 0))
    assert not any(_is_alive(process) for process in processes)
    with Workers() as alone:
        assert list(alone.map(operator.call, [os.getpid])) == [os.getpid()]


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_dies_is_one_line():
    with Workers(2) as workers, pytest.raises(UserError, match="^workers: a process died .*; run again, with fewer"):
        list(workers.map(os._exit, [3]))


def test_what_cannot_be_sent_is_one_line():
    with Workers(2) as workers, pytest.raises(UserError, match="^workers: the network cannot be sent .*workers=1"):
        list(workers.map(math.pow, [1.0], lambda: 2.0))


def test_a_network_and_cached_images_are_the_same_in_another_process(stores, wrap):
    network, images = wrap(build("zfnet", 3, 32, width=0.125)), stores[1]
    sent = pickle.loads(pickle.dumps([network.to("cpu"), images.take([3, 1])]))
    assert sent[0].fingerprint() == network.fingerprint() and sent[0].module is not network.module
    assert np.array_equal(sent[1].frames([0, 1]), images.frames([3, 1]))
    assert len(pickle.dumps(images.pixels)) < images.pixels.data.nbytes / 4
