"""The same image in training and validation, or under two labels: what makes an error rate say less than it seems to.

Images are the same where their frames are, which the checksums of the cache find and their pixels confirm.
"""

import hashlib
from collections import defaultdict

import numpy as np

from zfnet.data.cache.images import Images
from zfnet.data.listing import count_and_first


def notes_of_duplicates(train: Images, val: Images) -> list[str]:
    """A sentence each about images of both splits and about images with several labels, with the first of them."""
    paths = np.concatenate([train.index.paths, val.index.paths])
    labels = np.concatenate([train.index.labels, val.index.labels])
    in_both, several_labels = [], []
    for rows in _same_frames(train, val):
        if rows[0] < len(train):
            in_both += [f"{paths[row]} is {paths[rows[0]]}" for row in rows if row >= len(train)]
        others = [row for row in rows if labels[row] != labels[rows[0]]]
        if others:
            several_labels.append(f"{paths[others[0]]} is {paths[rows[0]]}")
    notes = []
    if in_both:
        notes.append(f"validation images that are training images, too: {count_and_first(in_both, 'images')}")
    if several_labels:
        notes.append(f"the same image under several labels: {count_and_first(several_labels, 'images')}")
    return notes


def _same_frames(train: Images, val: Images) -> list[list[int]]:
    """Rows with equal frames, two or more a group, in order; those of `val` follow those of `train`."""
    assert train.checksums is not None and val.checksums is not None  # as those of an opened cache
    checksums = np.concatenate([train.checksums, val.checksums])
    _, group, counts = np.unique(checksums, return_inverse=True, return_counts=True)
    rows_by_frame: dict[bytes, list[int]] = defaultdict(list)
    for row in np.flatnonzero(counts[group] > 1).tolist():
        frame = train.pixels[row] if row < len(train) else val.pixels[row - len(train)]
        rows_by_frame[hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()].append(row)
    return [rows for rows in rows_by_frame.values() if len(rows) > 1]
