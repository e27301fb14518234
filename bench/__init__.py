"""The benchmark behind `fastconv bench`: the project's speed claims, measured.

    problems.txt, problems.py    the layers, and the strings that describe them
    contestants.py, im2col.py    ours, PyTorch, ONNX Runtime, and an honest im2col + BLAS
    race.py, roof.py             the clock, and the processor's multiply-add rate
    run.py                       all of it, for a list of layers: the figures
    report.py, plot.py           the figures as a table, and as a picture
    compare.py                   two files of figures: what got slower

Figures are one dict, which `--json` writes as it is; README.md says what is in it.
"""

PASSES = ("forward", "grad_input", "grad_weight")
LAYOUTS = ("nchw", "channels_last")
PEERS = ("torch", "onnxruntime", "im2col")
DTYPES = ("float32", "float64")
