"""A small builder of ONNX graphs: nodes, initialisers and constants by name."""
from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper


class Graph:
    """Collects nodes and initialisers in the order in which they are added."""

    def __init__(self):
        self.nodes, self.initialisers = [], []
        self.names: set[str] = set()

    def weight(self, name: str, array: np.ndarray) -> str:
        """Adds an initialiser once and returns its name."""
        if name not in self.names:
            self.names.add(name)
            self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def const(self, value, dtype=np.int64) -> str:
        """A small constant, shared by everybody who needs the same."""
        array = np.asarray(value, dtype)
        digits = "_".join(map(str, array.reshape(-1).tolist())).replace("-", "m").replace(".", "p")
        return self.weight(f"const_{array.dtype.name}_{digits}_{array.ndim}", array)

    def op(self, kind, inputs, *, outputs=None, count=1, domain="", name=None, **attributes):
        """Adds a node; returns its output's name, or a list of them."""
        name = name or f"{kind}_{len(self.nodes)}"
        outputs = outputs or ([f"{name}_out"] if count == 1 else [f"{name}_out{i}" for i in range(count)])
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0] if len(outputs) == 1 else outputs
