"""A program of convolutions: import, build, 100 steps on one batch, exit."""

import chainrule as cr
from benchmarks.ours import cnn_problem


def main() -> None:
    """Train with ``fit``."""
    model, x, y, loss, rate = cnn_problem()
    history = model.fit(
        x, y, loss=loss, optimizer=cr.optimizers.Adam(learning_rate=rate), epochs=100,
        batch_size=None, verbose=0,
    )  # fmt: skip
    print(history["loss"][-1])


if __name__ == "__main__":
    main()
