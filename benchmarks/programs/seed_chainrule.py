"""``examples/simple_nn.py`` in its ``fit`` form: import, build, 1000 full-batch steps, exit."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "simple_nn.py"


def main() -> None:
    """Train the example's network with ``fit``."""
    example = runpy.run_path(str(EXAMPLE))
    x_train, y_train = example["make_data"]()
    losses = example["train_with_fit"](example["SimpleNN"](), x_train, y_train)
    print(losses[-1])


if __name__ == "__main__":
    main()
