"""Word vectors from a text: which words stand near which, in its main directions."""

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

WINDOW = 5  # words; one k words away counts 1 / k
SMOOTH = 0.75  # power of the frequencies of the words around (Levy et al., 2015)
_AT_ONCE = 5_000  # texts


def nearness_vectors(
    texts: Iterable[NDArray[np.integer]], words: int, width: int
) -> NDArray[np.float32]:
    """Vectors (words, width) of positive pointwise mutual information, of mean square 1.

    Args:
      texts: ids of words; 0 and 1 are no words and get zeros.
      words: how many ids there are.
      width: directions that are kept (truncated SVD, each by the root of its value).
    """
    near = sparse.csr_matrix((words, words), dtype=np.float32)
    gap = np.zeros(WINDOW, np.int64)
    texts = list(texts)
    for first in range(0, len(texts), _AT_ONCE):
        ids = np.concatenate([part for t in texts[first : first + _AT_ONCE] for part in (t, gap)])
        for apart in range(1, WINDOW + 1):
            a, b = ids[:-apart], ids[apart:]
            both = (a > 1) & (b > 1)
            ones = np.full(int(both.sum()), 1 / apart, np.float32)
            near += sparse.csr_matrix((ones, (a[both], b[both])), shape=near.shape)
    pairs = (near + near.T).tocoo()
    own = np.bincount(pairs.row, pairs.data, words)
    around = own**SMOOTH
    around /= around.sum()
    information = np.log(pairs.data / (own[pairs.row] * around[pairs.col]))
    kept = information > 0
    positive = sparse.csr_matrix(
        (information[kept], (pairs.row[kept], pairs.col[kept])), shape=near.shape
    )
    left, values, _ = svds(positive, k=width, random_state=0)
    order = np.argsort(-values)
    vectors = left[:, order] * np.sqrt(values[order])
    return (vectors / np.sqrt((vectors**2).mean())).astype(np.float32)
