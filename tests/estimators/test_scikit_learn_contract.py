"""scikit-learn's own checks of both estimators, with default parameters, and its tools."""

import contextlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any, Self
from unittest import SkipTest

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris, make_regression
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    estimator_checks_generator,
)
from sklearn.utils.validation import check_is_fitted

from chainrule.estimators import NetworkClassifier, NetworkRegressor, NotFittedError

ESTIMATORS = (NetworkClassifier, NetworkRegressor)

# What a check needs that these estimators do not have, or the machine does not have.
MAY_SKIP = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


# Those that are repeated with data frames; all of them pass, these show the most.
WITH_FRAMES = {
    "check_classifiers_train", "check_classifiers_classes", "check_dict_unchanged",
    "check_estimators_partial_fit_n_features", "check_estimators_pickle", "check_fit_idempotent",
    "check_methods_subset_invariance", "check_n_features_in_after_fitting",
    "check_readonly_memmap_input", "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data", "check_sample_weights_pandas_series",
}  # fmt: skip


def as_frame(X: Any) -> Any:
    """An array of numbers as a data frame, anything else as it is."""
    if type(X).__name__ == "_NotAnArray" or isinstance(X, list):
        X = np.asarray(X)
    if not isinstance(X, np.ndarray) or X.ndim != 2 or not X.shape[1] or X.dtype.kind not in "iuf":
        return X
    polars = pytest.importorskip("polars")
    return polars.DataFrame({f"c{place}": np.array(column) for place, column in enumerate(X.T)})


class FrameClassifier(NetworkClassifier):
    """Gets every array as a data frame."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        return super().fit(as_frame(X), y, sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        return super().partial_fit(as_frame(X), y, classes, sample_weight)

    def _outputs(self, X: Any) -> Any:
        return super()._outputs(as_frame(X))


class FrameRegressor(NetworkRegressor):
    """Gets every array as a data frame."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        return super().fit(as_frame(X), y, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        return super().partial_fit(as_frame(X), y, sample_weight)

    def _outputs(self, X: Any) -> Any:
        return super()._outputs(as_frame(X))


def _checks() -> list[Any]:
    """The checks of all estimators; the warning is that they do not inherit from scikit-learn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not inherit from.*")
        return [
            pytest.param(estimator, check, id=f"{type(estimator).__name__}-{_name(check)}-{number}")
            for kind in (*ESTIMATORS, FrameClassifier, FrameRegressor)
            for number, (estimator, check) in enumerate(estimator_checks_generator(kind()))
            if kind in ESTIMATORS or _name(check) in WITH_FRAMES
        ]


def _name(check: Any) -> str:
    while hasattr(check, "func"):
        check = check.func
    return str(getattr(check, "__name__", check))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("estimator", "check"), _checks())
def test_check_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    if _name(check) in MAY_SKIP:
        with contextlib.suppress(SkipTest):
            check(estimator)
    else:
        check(estimator)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_names_of_columns_are_checked_as_scikit_learn_does(kind: Any) -> None:
    pytest.importorskip("pandas")
    check_dataframe_column_names_consistency(kind.__name__, kind(epochs=2))


def test_tags_say_what_the_estimators_are() -> None:
    assert is_classifier(NetworkClassifier())
    assert is_regressor(NetworkRegressor())


def test_clone_keeps_parameters_and_drops_results() -> None:
    x, y = load_iris(return_X_y=True)
    fitted = NetworkClassifier(hidden=[8], epochs=2, random_state=3).fit(x, y)
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "classes_")


def test_pipeline_and_grid_search() -> None:
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(
        StandardScaler(), NetworkClassifier(epochs=40, lr=0.02, random_state=0)
    )
    grid = {"networkclassifier__hidden": [(4,), (16,)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_score_ > 0.85
    assert search.best_params_["networkclassifier__hidden"] in grid["networkclassifier__hidden"]
    assert search.predict(x[:3]).tolist() == [0, 0, 0]


def test_grid_search_takes_other_names_of_parameters() -> None:
    x, y = load_iris(return_X_y=True)
    search = GridSearchCV(NetworkClassifier(max_iter=3), {"lr": [0.01, 0.001]}, cv=2).fit(x, y)
    assert set(search.best_params_) == {"lr"}


def test_cross_validation_of_numbers() -> None:
    x, y = make_regression(200, 5, noise=5.0, random_state=0)
    scores = cross_val_score(NetworkRegressor(epochs=60, random_state=0), x, y, cv=2)
    assert scores.min() > 0.85


def test_stands_inside_meta_estimators() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    labels = (x[:, :2] > 0).astype(int)
    chain = ClassifierChain(NetworkClassifier(epochs=5, random_state=0)).fit(x, labels)
    assert chain.predict(x).shape == (60, 2)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_unfitted_is_an_error_of_both_libraries(kind: Any) -> None:
    with pytest.raises(SklearnNotFittedError) as caught:
        kind().predict(np.zeros((2, 2)))
    assert isinstance(caught.value, NotFittedError)
    assert "fit(X, y)" in str(caught.value)
    with pytest.raises(SklearnNotFittedError):
        check_is_fitted(kind())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_pickled_estimator_predicts_the_same_and_goes_on_learning(kind: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = (x[:, 0] > 0).astype(int)
    fitted = kind(epochs=3, random_state=0).fit(x, y)
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301  # scikit-learn's own tools do this
    np.testing.assert_array_equal(copied.predict(x), fitted.predict(x))
    copied.partial_fit(x, y)
    assert copied.n_iter_ == 4
