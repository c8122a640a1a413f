"""How well the default TextClassifier tells good from bad in sentences about films it never read.

The table has the columns ``text``, ``rating`` (its sign is the class; 0 is left out) and ``split``
("train" or "test").

``python benchmarks/film_sentences.py TABLE [--seeds 3] [--json]``
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from chainrule.data import read_table
from chainrule.estimators import TextClassifier


def main() -> int:
    """Train and test once for each seed; print the accuracies and their median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="trainings (default 3)")
    parser.add_argument("--json", action="store_true", help="end with a JSON line")
    options = parser.parse_args()
    table = read_table(options.table)
    texts = table.column("text").values
    ratings = table.column("rating").values
    labels = np.where(ratings > 0, "good", "bad")
    test = (table.column("split").values == "test") & (ratings != 0)
    learnt = (table.column("split").values == "train") & (ratings != 0)
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        start = time.perf_counter()
        classifier = TextClassifier(random_state=seed).fit(texts[learnt], labels[learnt])
        seconds.append(time.perf_counter() - start)
        accuracies.append(classifier.score(texts[test], labels[test]))
        print(f"seed {seed}: accuracy {accuracies[-1]:.4f}, {seconds[-1]:.1f} s", flush=True)
    median = statistics.median(accuracies)
    print(f"{learnt.sum():,} learnt, {test.sum():,} tested: {median:.4f}")
    if options.json:
        print(json.dumps({"accuracies": accuracies, "median": median, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
