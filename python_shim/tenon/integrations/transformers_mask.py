# SPDX-License-Identifier: Apache-2.0
"""The mask companion of Tenon's attention: not a matrix but what it says - a window, and which keys and rows are real.

transformers hands over a mask function, a padding mask, and where queries and keys stand. Tenon needs lengths. Every mask that is
causal, with or without a sliding window, and whose padding leaves one run of real tokens in each sequence, can be said so; any other
one is refused by name.
"""

import numpy as np
import torch
from transformers.masking_utils import causal_mask_function

from ..errors import Unsupported


class Visible:
    """What the rows of one forward see. window: keys back from the own one, or -1. kv_length: keys in use, from the front.
    segments: None if every row and key is real, else the runs of rows in order, as (rows, first key, keys)."""

    __slots__ = ("window", "kv_length", "segments", "cu_seqlens", "seq_lens", "starts", "longest", "shape")

    def __init__(self, window, kv_length, segments=None):
        self.window, self.kv_length, self.segments, self.shape = window, kv_length, segments, None
        if segments is not None:
            rows, starts, lengths = (np.array(column, np.int32) for column in zip(*segments))
            self.cu_seqlens = np.concatenate(([0], np.cumsum(rows))).astype(np.int32)
            self.seq_lens, self.starts, self.longest = lengths, starts, int(lengths.max())
            self.shape = tuple((r, s) for r, s, _ in segments)  # what stays the same from step to step of a generation


def _index_function_is(mask_function, window, q_offset, q_length, kv_offset, kv_length, batch_size, device):
    """Is it causal with this window, and nothing else? Asked of the function itself, at every place of every sequence."""
    b = torch.arange(batch_size, device=device)[:, None, None]
    i = torch.arange(q_offset, q_offset + q_length, device=device)[None, :, None]
    j = torch.arange(kv_offset, kv_offset + kv_length, device=device)[None, None, :]
    try:
        given = torch.as_tensor(mask_function(b, torch.zeros_like(b), i, j))
    except (RuntimeError, IndexError, TypeError):
        return False  # a function that only works on single indices is nobody's standard mask
    expected = (j <= i) & (j >= i - window) if window >= 0 else j <= i
    return bool((given.expand(batch_size, q_length, kv_length) == expected).all())


def _segments(real, q_first, q_length):
    """Runs of rows from the padding mask of the keys. Rows of padding see nothing and come out as 0."""
    found = []
    for b in range(real.shape[0]):
        places = np.flatnonzero(real[b])
        if places.size == 0:
            found.append((q_length, 0, 0))
            continue
        first, end = int(places[0]), int(places[-1]) + 1
        if end - first != places.size:
            raise Unsupported("attention: the padding mask of a sequence has a hole in it; Tenon takes padding on the left and on the right")
        begin_row, end_row = max(first - q_first, 0), min(max(end - q_first, 0), q_length)
        begin_row = min(begin_row, end_row)
        if begin_row:
            found.append((begin_row, first, 0))
        if end_row > begin_row:
            found.append((end_row - begin_row, first, min(end, q_first + q_length) - first))
        if end_row < q_length:
            found.append((q_length - end_row, first, 0))
    return found


def tenon_mask(batch_size, q_length, kv_length, q_offset=0, kv_offset=0, mask_function=causal_mask_function, attention_mask=None,
               local_size=None, device="cpu", **kwargs):
    """The function that AttentionMaskInterface calls once per forward and kind of layer."""
    q_offset, kv_offset = int(q_offset), int(kv_offset)
    window = -1
    if mask_function is not causal_mask_function:
        window = local_size - 1 if local_size is not None else -1
        if not _index_function_is(mask_function, window, q_offset, q_length, kv_offset, kv_length, batch_size, device):
            raise Unsupported(f"attention: the mask {getattr(mask_function, '__qualname__', mask_function)!s} is neither causal nor causal "
                              "with a sliding window; use another attn_implementation for this model")
    q_first = q_offset - kv_offset  # place of the first row among the keys
    in_use = min(q_first + q_length, kv_length)
    if q_first < 0 or q_first + q_length > kv_length:
        raise Unsupported(f"attention: rows {q_offset} to {q_offset + q_length} are not among keys {kv_offset} to {kv_offset + kv_length}")
    if attention_mask is not None:
        real = attention_mask[:, kv_offset:kv_offset + in_use]
        if real.shape[1] < in_use:
            raise Unsupported(f"attention: a padding mask of {attention_mask.shape[1]} tokens for keys up to {kv_offset + in_use}")
        if not bool(real.all()):
            return Visible(window, in_use, _segments(real.cpu().numpy().astype(bool), q_first, q_length))
    return Visible(window, in_use)
