"""What a mesh's connectivity says about it: its parts, its open edges, how many edges away a vertex is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from avatarkit.types import FloatArray, IntArray


def edges(faces: IntArray) -> tuple[IntArray, IntArray]:
    """Undirected edges (E, 2), sorted, and how many faces (E,) use each."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    return np.unique(pairs, axis=0, return_counts=True)


def graph(pairs: IntArray, vertices: int) -> csr_matrix:
    """Adjacency matrix (V, V) of edges (E, 2); one direction is stored."""
    return coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(vertices, vertices)).tocsr()


def parts(faces: IntArray, vertices: int) -> IntArray:
    """(V,) number of the connected part that each vertex belongs to."""
    return connected_components(graph(edges(faces)[0], vertices), directed=False)[1]


def open_loops(faces: IntArray, vertices: int) -> list[IntArray]:
    """Vertices of each loop of edges that only one face uses."""
    pairs, uses = edges(faces)
    open_pairs = pairs[uses == 1]
    label = connected_components(graph(open_pairs, vertices), directed=False)[1]
    return [np.flatnonzero(label == name) for name in np.unique(label[open_pairs[:, 0]])]


def ring_distance(faces: IntArray, vertices: int, start: IntArray) -> FloatArray:
    """(V,) number of edges from the nearest of ``start``; infinite in other parts."""
    return dijkstra(graph(edges(faces)[0], vertices), directed=False, indices=start, unweighted=True, min_only=True)
