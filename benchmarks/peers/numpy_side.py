"""NumPy's side: its BLAS alone."""

import numpy as np

from benchmarks import data
from benchmarks.serving import Builder, Options, Sample, main, repeated


def matmul(name: str) -> Builder:
    """A product of two square matrices."""

    def build(options: Options) -> Sample:
        x, y = data.square_data(data.SQUARES[name])

        def run(count: int) -> None:
            for _ in range(count):
                np.matmul(x, y)

        return repeated(run, options.seconds)

    return build


WORK = {name: {"BLAS": matmul(name)} for name in data.SQUARES}

if __name__ == "__main__":
    main(WORK, {"numpy": np.__version__})
