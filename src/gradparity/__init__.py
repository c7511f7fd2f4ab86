"""gradparity: are the losses and activations of PyTorch, TensorFlow and JAX right, and their gradients?

    gradparity.assert_conforms(fn, op="cross_entropy", framework="torch")

judges a function of yours by the cases, bounds and messages of the suite; `gradparity run` judges the frameworks.
No framework is imported by importing this.
"""

from gradparity.conform import assert_conforms, check_function, explain
from gradparity.op import GradparityError, Raises, Result

__all__ = ["GradparityError", "Raises", "Result", "assert_conforms", "check_function", "explain"]
