"""Builds a Cython module that calls fastconv's kernels: python setup.py build_ext --inplace"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastconv

setup(
    name="cython_door",
    ext_modules=cythonize(
        [Extension("cython_door", ["cython_door.pyx"], include_dirs=[fastconv.get_include()])],
        # Where Cython finds fastconv/__init__.pxd; only editable installs need to be told.
        include_path=[str(Path(fastconv.__file__).parents[1])],
    ),
)
