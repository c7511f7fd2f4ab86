"""What is true: NumPy only, one operation a file, its forward, gradient and cases beside one another."""

from dataclasses import replace

from gradparity.op import Op
from gradparity.reference import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    categorical_cross_entropy,
    categorical_hinge,
    crammer_singer_hinge,
    cross_entropy,
    euclidean_norm,
    focal_loss,
    hinge,
    hinge_embedding,
    layered_cross_entropy,
    log_sigmoid,
    log_softmax,
    logistic_regression,
    logsumexp,
    margin_ranking,
    multiclass_hinge,
    multilabel_margin,
    negative_log_likelihood,
    one_vs_rest,
    pairwise_distance,
    pca,
    ragged_centroid,
    segment_mean,
    segment_sum,
    sigmoid,
    soft_cross_entropy,
    softmax,
    softmax_regression,
    spatial_cross_entropy,
    squared_hinge,
    weighted_cross_entropy,
)
from gradparity.reference.edges import with_edges
from gradparity.reference.extremes import with_extremes
from gradparity.reference.inside import with_inside
from gradparity.reference.sizes import with_sizes


def whole(op: Op) -> Op:
    """With extremes, edges and sizes, behind preludes; the operations that its invariants ask for have edges too."""
    invariants = tuple(replace(one, other=one.other and with_edges(one.other)) for one in op.invariants)
    return with_sizes(with_inside(with_edges(with_extremes(replace(op, invariants=invariants)))))


OPS: dict[str, Op] = {
    module.OP.name: whole(module.OP)
    for module in (
        softmax, log_softmax, logsumexp, cross_entropy, soft_cross_entropy, weighted_cross_entropy, sigmoid,
        log_sigmoid, hinge, squared_hinge, ragged_centroid, binary_cross_entropy_with_logits,
        negative_log_likelihood, layered_cross_entropy, binary_cross_entropy,
        softmax_regression,
        multiclass_hinge, crammer_singer_hinge, hinge_embedding, margin_ranking,
        euclidean_norm, pairwise_distance, segment_sum, segment_mean, pca,
        focal_loss, one_vs_rest, logistic_regression, categorical_hinge, multilabel_margin, spatial_cross_entropy,
        categorical_cross_entropy,
    )
}  # fmt: skip
