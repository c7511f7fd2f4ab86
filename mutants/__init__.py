"""Wrong implementations that the checks must kill, one family a file; "none" is the right one, which must live."""

from gradparity.mutants import (
    anything,
    binary_cross_entropy,
    categorical_cross_entropy,
    hinges,
    logistic,
    multiclass_hinges,
    norms,
    pca,
    pointwise,
    probabilities,
    ragged_centroid,
    softmax_family,
    softmax_regression,
)
from gradparity.mutation import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *anything.MUTANTS,
    *softmax_family.MUTANTS,
    *pointwise.MUTANTS,
    *hinges.MUTANTS,
    *ragged_centroid.MUTANTS,
    *binary_cross_entropy.MUTANTS,
    *categorical_cross_entropy.MUTANTS,
    *probabilities.MUTANTS,
    *softmax_regression.MUTANTS,
    *logistic.MUTANTS,
    *multiclass_hinges.MUTANTS,
    *norms.MUTANTS,
    *pca.MUTANTS,
)
