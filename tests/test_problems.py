"""The strings that name convolution problems in bench/ and here."""

import pytest

from fastconv.bench import problems


def test_a_string_in_full():
    problem = problems.parse('g1mb64ic1ih28oc20kh5sh1ph0dh1n"mnist:conv1"')
    assert problem.name == "mnist:conv1"
    assert problem.operation == "conv2d"
    assert problem.input_shape == (64, 1, 28, 28)
    assert problem.weight_shape == (20, 1, 5, 5)
    assert problem.output_shape == (64, 20, 24, 24)
    assert problem.flops == 2 * 64 * 20 * 24 * 24 * 25


def test_axes_differ_where_they_are_named():
    problem = problems.parse("ic6 id5 ih7 iw9 oc4 kd1 kh3 kw2 sh2 pw1 dd2 dw1 g2")
    assert problem.input_shape == (1, 6, 5, 7, 9)
    assert problem.weight_shape == (4, 3, 1, 3, 2)
    assert problem.arguments == {
        "stride": (1, 2, 2),
        "padding": (0, 0, 1),
        "dilation": (2, 2, 1),
        "groups": 2,
    }
    assert problem.output_shape == (1, 4, 5, 2, 5)


def test_the_output_size_of_a_transposed_problem_is_output_padding():
    problem = problems.parse('deconv ic64 ih56 oc32 oh112 kh3 sh2 ph1 n"even"')
    assert problem.operation == "conv_transpose2d"
    assert problem.weight_shape == (64, 32, 3, 3)
    assert problem.arguments["output_padding"] == (1, 1)
    assert problem.output_shape == (1, 32, 112, 112)


def test_one_dimension():
    problem = problems.parse("ic2iw100oc3kw5sw2dw3")
    assert problem.operation == "conv1d"
    assert problem.output_shape == (1, 3, 44)


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "ic1oc2kh3",
        "ih28oc2kh3",
        "ic1ih28oc2",
        "ic1ih28oc2kh3xh4",
        "ic1ih28oc2kh3kd4",
        "ic1ih28oc2kh3kh5",
        "ic1ih28oc2kh3oh28",
        'ic1ih28oc2kh3n"open',
        "deconvic1ih28oc2kh3oh29",
        "ic1ih28oc2kh0",
        "ic1ih28oc2kh3sh0",
        "ic1ih2oc2kh3",
        "ic0ih28oc2kh3",
        "g2ic3ih28oc2kh3",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match=text.partition(" ")[0]):
        problems.parse(text)


def test_the_list_of_layers():
    layers = problems.load()
    assert len({layer.name for layer in layers}) == len(layers) >= 26
    assert {layer.operation for layer in layers} >= {
        "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    }  # fmt: skip
    by_name = {layer.name: layer for layer in layers}
    assert by_name["cifar3"].weight_shape == (20, 3, 5, 5)
    assert round(by_name["tdnn"].flops / 1e9, 2) == 18.87
    assert round(by_name["upconv3x3"].flops / 1e9, 3) == 0.925


@pytest.mark.parametrize("layer", problems.load(), ids=lambda layer: layer.name)
def test_a_problem_prints_as_a_string_that_describes_it(layer):
    assert problems.parse(f'{layer}n"{layer.name}"') == layer


def test_output_padding_prints_as_an_output_size():
    problem = problems.parse("deconv ic6 ih5 iw7 oc4 oh10 ow13 kh3 kw1 sh2 ph1 pw0 dw2 g2")
    assert any(problem.output_padding)
    assert problems.parse(str(problem)) == problem
