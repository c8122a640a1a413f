"""scikit-learn's side: ``MLPClassifier`` with its defaults."""

import time
import warnings

import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks import data
from benchmarks.serving import Builder, Measured, Options, Sample, main


def classifier(name: str) -> Builder:
    """A whole fit, and the accuracy that it ends with on the rows set aside."""

    def build(options: Options) -> Sample:
        split = data.TABLES[name]()
        warnings.simplefilter("ignore", ConvergenceWarning)

        def sample() -> Measured:
            estimator = MLPClassifier(random_state=0)
            start = time.perf_counter()
            estimator.fit(split.x, split.y)
            seconds = time.perf_counter() - start
            accuracy = float(estimator.score(split.x_check, split.y_check))
            return Measured(seconds, accuracy, f"{estimator.n_iter_} epochs")

        return sample

    return build


WORK = {name: {"MLPClassifier": classifier(name)} for name in data.TABLES}

if __name__ == "__main__":
    main(WORK, {"scikit-learn": sklearn.__version__})
