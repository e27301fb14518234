"""The mathematics behind the kernels: each statement of a lecture as one plain NumPy function.

    gates          ReLU and max-pooling: where the gradient passes
    elementwise    which input cell contributes to which output cell, through which weight
    inverted       backpropagation with an inverted filter
    regroup        20 filters x 3 channels = 60 slices, inverted and regrouped into 3 sets of 20
    sharing        one derivative for each use of a weight, added over the uses
    matrix         convolution as a matrix, deconvolution as its transpose
    steps          deconvolution, one input cell at a time
    phases         up-sampling by s in d dimensions as s**d ordinary convolutions
    subpixel       the same as one convolution and a periodic shuffle
    winograd       the same sums through the values of polynomials, with fewer products
    arithmetic     sizes
    receptive      what an output cell of a network can see

The functions use none of the kernels, so that they can judge them.  They take (N, C, *size) or
(C, *size), keep NumPy's types (integers stay exact), and read stride, padding, dilation and groups
as `fastconv.conv2d` does.  They are written to be read, and are slow.

Sources: lecture notes on backpropagation in convolutional networks; Shi et al. (2016), "Is the
deconvolution layer the same as a convolutional layer?"; Dumoulin & Visin (2016), "A guide to
convolution arithmetic for deep learning".  docs/ is a course along these functions.
"""

from fastconv.theory.arithmetic import (
    EquivalentConvolution,
    equivalent_transposed,
    output_size,
    same_padding,
    transposed_output_size,
)
from fastconv.theory.elementwise import Contributions, contributions, grad_input_elementwise
from fastconv.theory.gates import max_pool_routes, relu_gradient_mask
from fastconv.theory.inverted import grad_input_by_inverted_filter, invert_filter
from fastconv.theory.matrix import conv_matrix, conv_transpose_by_matrix
from fastconv.theory.phases import Phase, conv_transpose_by_phases, phase_filters
from fastconv.theory.receptive import ReceptiveField, receptive_field
from fastconv.theory.regroup import grad_input_by_regrouped_filters, regroup_filters
from fastconv.theory.sharing import weight_use_gradients
from fastconv.theory.steps import DeconvolutionSteps, deconvolution_steps
from fastconv.theory.subpixel import subpixel_weights, transposed_weights
from fastconv.theory.winograd import conv_by_winograd, winograd_matrices

__all__ = [
    "Contributions",
    "DeconvolutionSteps",
    "EquivalentConvolution",
    "Phase",
    "ReceptiveField",
    "contributions",
    "conv_by_winograd",
    "conv_matrix",
    "conv_transpose_by_matrix",
    "conv_transpose_by_phases",
    "deconvolution_steps",
    "equivalent_transposed",
    "grad_input_by_inverted_filter",
    "grad_input_by_regrouped_filters",
    "grad_input_elementwise",
    "invert_filter",
    "max_pool_routes",
    "output_size",
    "phase_filters",
    "receptive_field",
    "regroup_filters",
    "relu_gradient_mask",
    "same_padding",
    "subpixel_weights",
    "transposed_output_size",
    "transposed_weights",
    "weight_use_gradients",
    "winograd_matrices",
]
