"""Writes the benchmark's models and their rows into a folder, and prints what they are as JSON.

models.py FOLDER ROWS
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TREES, FEATURES = 100, 16


def graph(name, nodes, width, initializers=()):
    made = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        list(initializers),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def ensemble(rng, grow):
    """Regression trees; `grow` gives a tree's nodes as (feature, threshold, true, false), and a leaf as None."""
    keys = ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"]
    lists, target = {key: [] for key in keys}, {key: [] for key in ["ids", "treeids", "nodeids", "weights"]}
    for tree in range(TREES):
        for number, node in enumerate(grow(rng)):
            feature, threshold, yes, no = node or (0, 0.0, 0, 0)
            for key, value in zip(keys, [tree, number, feature, "BRANCH_LEQ" if node else "LEAF", threshold, yes, no]):
                lists[key].append(value)
            if node is None:
                for key, value in zip(target, [0, tree, number, float(rng.normal())]):
                    target[key].append(value)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        **{f"nodes_{key}": values for key, values in lists.items()}, **{f"target_{key}": values for key, values in target.items()},
    )
    return graph("trees", [node], FEATURES), len(lists["modes"]) - len(target["ids"])


def full(rng, depth=6):
    inner = 2**depth - 1
    nodes = [(int(rng.integers(FEATURES)), float(rng.random()), 2 * node + 1, 2 * node + 2) for node in range(inner)]
    return nodes + [None] * (inner + 1)


def deep(rng, leaves=1000):
    """Splits a leaf at random, by the share of rows in it, until there are so many. Every split lies within its cell."""
    nodes, cells, shares = [None], [(0, [(0.0, 1.0)] * FEATURES)], [1.0]
    while len(cells) < leaves:
        chosen = int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares)))
        share = shares.pop(chosen)
        node, cell = cells.pop(chosen)
        feature = int(rng.integers(FEATURES))
        low, high = cell[feature]
        threshold = float(rng.uniform(low, high))
        nodes[node] = (feature, threshold, len(nodes), len(nodes) + 1)
        for side in [(low, threshold), (threshold, high)]:
            shares.append(share * (side[1] - side[0]) / (high - low))
            cells.append((len(nodes), cell[:feature] + [side] + cell[feature + 1 :]))
            nodes.append(None)
    return nodes


def steps(tree):
    """The mean number of tests over the rows of the unit cube."""
    total, waiting = 0.0, [(0, 1.0, [(0.0, 1.0)] * FEATURES)]
    while waiting:
        node, share, cell = waiting.pop()
        if tree[node]:
            feature, threshold, yes, no = tree[node]
            low, high = cell[feature]
            left = min(max((threshold - low) / (high - low), 0.0), 1.0) if high > low else 0.5
            total += share
            for child, part, side in [(yes, left, (low, min(threshold, high))), (no, 1 - left, (max(threshold, low), high))]:
                if part:
                    waiting.append((child, share * part, cell[:feature] + [side] + cell[feature + 1 :]))
    return total


def mlp(rng, widths):
    nodes, weights, value = [], [], "x"
    for layer, (one, two) in enumerate(zip(widths, widths[1:])):
        for key, shape in [(f"w{layer}", (one, two)), (f"b{layer}", (two,))]:
            weights.append(numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(one)).astype(np.float32), key))
        last = layer + 2 == len(widths)
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], ["y" if last else f"h{layer}"]))
        value = f"r{layer}"
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{layer}"], [value]))
    return graph("mlp", nodes, widths[0], weights)


def main():
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(1)
    told = {}
    for name, grow in [("gbdt", full), ("forest", deep)]:
        model, inner = ensemble(rng, grow)
        onnx.save(model, folder / f"{name}.onnx")
        probe = np.random.default_rng(2)
        told[name] = {"width": FEATURES, "nodes": inner, "tests": TREES * float(np.mean([steps(grow(probe)) for _ in range(5)]))}
    widths = [32, 128, 64, 1]
    onnx.save(mlp(rng, widths), folder / "mlp.onnx")
    told["mlp"] = {"width": 32, "flops": 2 * sum(one * two for one, two in zip(widths, widths[1:]))}
    identity = graph("identity", [helper.make_node("Identity", ["x"], ["y"])], 1)
    onnx.save(identity, folder / "identity.onnx")
    for name, what in told.items():
        rng.random((rows, what["width"]), dtype=np.float32).tofile(folder / f"{name}.rows")
    np.zeros(rows, np.float32).tofile(folder / "identity.rows")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
