"""Make reference/digits.npz: scikit-learn's handwritten digits, and the logits of a softmax classifier on them.

    python benchmarks/make_digits.py

The features are scaled to [0, 1]; 300 steps of full-batch gradient descent on the mean cross-entropy, from zero
weights. The logits are rounded to float16, which keeps the file small and makes them exact in every wider dtype.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from gradparity.reference.cross_entropy import one_hot
from gradparity.reference.softmax import softmax


def main() -> None:
    digits = load_digits()
    x, labels = digits.data / 16.0, digits.target
    targets = one_hot(labels, 10)
    w = np.zeros((x.shape[1], 10))
    for _ in range(300):
        w -= 1.0 * x.T @ (softmax(x @ w) - targets) / len(x)
    logits = (x @ w).astype(np.float16)
    print(f"{len(x)} digits, {np.mean(logits.argmax(1) == labels):.1%} classified rightly")
    path = Path(__file__).parents[1] / "reference" / "digits.npz"
    np.savez_compressed(path, logits=logits, labels=labels.astype(np.uint8), images=digits.data.astype(np.uint8))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
