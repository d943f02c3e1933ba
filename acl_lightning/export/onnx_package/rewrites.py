"""Rewrites of translated graphs that leave their results unchanged and remove operators.

An operator takes microseconds, which count for a single text: a layer of 20 tokens takes half a millisecond. The
functions change a graph in place; `simplify` applies all of them.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

ATTENTION = "MultiHeadAttention"

#: Inputs of `ATTENTION`.
QUERY, KEY, VALUE, BIAS = range(4)


class _Links:
    """Producers, consumers and constants of the values of a graph, by name."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.outputs = {value.name for value in graph.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def chain(self, name: str, *kinds: str) -> list[NodeProto] | None:
        """Return the nodes that compute a value, the last first, if they are of these kinds; None otherwise."""
        nodes: list[NodeProto] = []
        for kind in kinds:
            node = self.producers.get(name)
            if node is None or node.op_type != kind:
                return None
            nodes.append(node)
            name = node.input[0]
        return nodes

    def only_consumer(self, name: str, kind: str) -> NodeProto | None:
        """Return the only node that reads a value, if it is of a kind; None otherwise, and for an output."""
        nodes = self.consumers.get(name, [])
        return nodes[0] if len(nodes) == 1 and nodes[0].op_type == kind and name not in self.outputs else None

    def array(self, name: str) -> np.ndarray | None:
        """Return a constant; None for other values."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)


def simplify(model: ModelProto) -> None:
    """Apply all rewrites to a translated segment."""
    join_query_and_context(model)
    join_keys_and_values(model)
    move_biases(model)
    skip_inverse_reshapes(model)
    slice_exit_row(model)
    remove_unused(model)


def join_query_and_context(model: ModelProto) -> None:
    """Connect the query and the context of attention directly to the projections around it.

    The translation splits a query into heads and joins them again, and the context likewise; each pair of reshapes
    leaves its input unchanged.
    """
    links = _Links(model)
    for node in model.graph.node:
        if node.op_type != ATTENTION:
            continue
        joined = links.producers.get(node.input[QUERY])
        split = None if joined is None else links.producers.get(joined.input[0])
        if joined is not None and split is not None and joined.op_type == split.op_type == "Reshape":
            node.input[QUERY] = split.input[0]
        after = links.only_consumer(node.output[0], "Reshape")
        rejoined = None if after is None else links.only_consumer(after.output[0], "Reshape")
        if rejoined is not None:
            _become_identity(rejoined, node.output[0])


def join_keys_and_values(model: ModelProto) -> None:
    """Pass keys and values with joined heads to attention, which splits them itself, unless others read the heads."""
    links = _Links(model)
    for node in model.graph.node:
        if node.op_type != ATTENTION:
            continue
        chains = [links.chain(node.input[place], "Transpose", "Reshape") for place in (KEY, VALUE)]
        alone = [links.only_consumer(node.input[place], ATTENTION) for place in (KEY, VALUE)]
        if all(chains) and all(alone):
            for place, chain in zip((KEY, VALUE), chains, strict=True):
                assert chain is not None
                node.input[place] = chain[-1].input[0]


def move_biases(model: ModelProto) -> None:
    """Let attention add the biases of query, keys and values, if all three have joined heads."""
    links = _Links(model)
    for node in model.graph.node:
        if node.op_type != ATTENTION or node.input[BIAS]:
            continue
        chains = [links.chain(node.input[place], "Add", "MatMul") for place in (QUERY, KEY, VALUE)]
        biases = [None if chain is None else links.array(chain[0].input[1]) for chain in chains]
        if any(bias is None or bias.ndim != 1 for bias in biases):
            continue
        name = f"{node.output[0]}_bias"
        joined = np.concatenate([bias for bias in biases if bias is not None])
        model.graph.initializer.append(numpy_helper.from_array(joined, name))
        node.input[BIAS] = name
        for place, chain in zip((QUERY, KEY, VALUE), chains, strict=True):
            assert chain is not None
            node.input[place] = chain[0].input[0]


def skip_inverse_reshapes(model: ModelProto) -> None:
    """Remove a `Squeeze` that undoes the `Unsqueeze` before it."""
    links = _Links(model)
    for node in model.graph.node:
        before = links.producers.get(node.input[0]) if node.op_type == "Squeeze" and len(node.input) > 1 else None
        if before is None or before.op_type != "Unsqueeze":
            continue
        axes = [links.array(each.input[1]) for each in (before, node)]
        if axes[0] is not None and axes[1] is not None and np.array_equal(axes[0], axes[1]):
            _become_identity(node, before.input[0])


def slice_exit_row(model: ModelProto) -> None:
    """Take tokens and exit row from the joint rows by constant positions, instead of splitting at a computed length."""
    links = _Links(model)
    for node in model.graph.node:
        if node.op_type != "Split" or len(node.output) != 2 or _axis(node) != 1:
            continue
        sizes = links.chain(node.input[1], "Concat")
        select = links.only_consumer(node.output[1], "Gather")
        if sizes is None or select is None or _axis(select) != 1:
            continue
        size, index = links.array(sizes[0].input[-1]), links.array(select.input[1])
        if size is None or size.tolist() != [1] or index is None or index.tolist() != 0:
            continue
        place = {name: f"{node.output[0]}_{name}" for name in ("first", "last", "axis", "row")}
        values = {"first": [0], "last": [-1], "axis": [1], "row": -1}
        for name, value in values.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.int64), place[name]))
        select.input[0], select.input[1] = node.input[0], place["row"]
        node.op_type = "Slice"
        del node.input[1:], node.output[1:], node.attribute[:]
        node.input.extend([place["first"], place["last"], place["axis"]])


def remove_unused(model: ModelProto) -> None:
    """Remove nodes and weights whose results nothing reads."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    kept.reverse()
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)


def _axis(node: NodeProto) -> int:
    """Return the attribute `axis` of a node."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 0)


def _become_identity(node: NodeProto, name: str) -> None:
    """Let a node return a value unchanged; onnxruntime removes it."""
    node.op_type = "Identity"
    del node.input[:], node.attribute[:]
    node.input.append(name)
