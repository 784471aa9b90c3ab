"""Reads a GGUF file: its metadata, and its tensors as floats or in their own blocks."""
from __future__ import annotations

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

BLOCK = 32  # weights per scale, the same in GGUF's Q4_x and Q8_0 and in what is written
ARCHITECTURES = ("llama", "qwen2")


class Gguf:
    """A GGUF file of a known architecture."""

    def __init__(self, path: str):
        reader = GGUFReader(path)
        self.metadata = {key: field.contents() for key, field in reader.fields.items()}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.arch = self.metadata["general.architecture"]
        if self.arch not in ARCHITECTURES:
            sys.exit(f"architecture {self.arch!r} is not handled ({', '.join(ARCHITECTURES)} are)")

    def parameter(self, key: str, default=None):
        """A hyper-parameter of the architecture, e.g. `block_count`."""
        value = self.metadata.get(f"{self.arch}.{key}", default)
        if value is None:
            sys.exit(f"the GGUF file lacks {self.arch}.{key}")
        return value

    def shape(self, name: str) -> tuple[int, int]:
        """(rows, columns) of a matrix."""
        columns, rows = (int(n) for n in self.tensors[name].shape)
        return rows, columns

    def floats(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        tensor = self.tensors[name]
        shape = tuple(int(n) for n in reversed(tensor.shape))
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32))

    def _blocks(self, name: str) -> np.ndarray:
        rows, columns = self.shape(name)
        return np.asarray(self.tensors[name].data).reshape(rows, columns // BLOCK, -1).view(np.uint8)

    def four_bit(self, name: str):
        """(values 0..15 [rows, blocks, 32], scale, minimum) of a Q4_0 or Q4_1 tensor, else None."""
        kind = self.tensors[name].tensor_type
        if kind not in (GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q4_1):
            return None
        raw = self._blocks(name)
        scale = _half(raw[..., 0:2])
        if kind == GGMLQuantizationType.Q4_1:
            minimum, packed = _half(raw[..., 2:4]), raw[..., 4:]
        else:
            minimum, packed = -8.0 * scale, raw[..., 2:]
        # low nibbles hold weights 0..15 of the block, high nibbles 16..31
        return np.concatenate([packed & 15, packed >> 4], axis=-1), scale, minimum

    def eight_bit(self, name: str):
        """(signed values [rows, blocks, 32], scale) of a Q8_0 tensor, else None."""
        if self.tensors[name].tensor_type != GGMLQuantizationType.Q8_0:
            return None
        raw = self._blocks(name)
        return raw[..., 2:].view(np.int8), _half(raw[..., 0:2])

    def row_order(self, name: str):
        """The order of rows that restores Hugging Face's rotate-half layout, else None.

        llama.cpp stores the query and key rows of the llama architecture interleaved:
        w.reshape(heads, 2, dim / 2, columns).swapaxes(1, 2)
        """
        if self.arch != "llama":
            return None
        heads = self.parameter("attention.head_count")
        if name.endswith("attn_k.weight"):
            heads = self.parameter("attention.head_count_kv", heads)
        elif not name.endswith("attn_q.weight"):
            return None
        rows = self.shape(name)[0]
        return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(rows)

    def stacked_floats(self, names: list[str]) -> np.ndarray:
        """Several matrices one below the other (query, key and value; gate and up)."""
        parts = []
        for name in names:
            rows = self.row_order(name)
            parts.append(self.floats(name) if rows is None else self.floats(name)[rows])
        return np.concatenate(parts, 0)

    def stacked_four_bit(self, names: list[str]):
        """The same in 4-bit blocks; None when one of them is stored otherwise."""
        parts = []
        for name in names:
            blocks = self.four_bit(name)
            if blocks is None:
                return None
            rows = self.row_order(name)
            parts.append(blocks if rows is None else tuple(part[rows] for part in blocks))
        return tuple(np.concatenate(part) for part in zip(*parts))


def _half(raw: np.ndarray) -> np.ndarray:
    return raw.copy().view(np.float16)[..., 0].astype(np.float32)
