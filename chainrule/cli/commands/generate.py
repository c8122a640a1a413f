"""``chainrule generate``: text that a network writes."""

import click

from chainrule.cli.options import examples, model_argument
from chainrule.cli.text import printable
from chainrule.errors import ArgumentError
from chainrule.estimators import TextGenerator, load
from chainrule.estimators.text_generator import MAX_LENGTH


@click.command(
    epilog=examples(
        "chainrule generate stories.safetensors",
        'chainrule generate stories.safetensors --prompt "Once upon" --temperature 0.5 --seed 7',
    )
)
@model_argument
@click.option("--prompt", default="", metavar="TEXT", help="What to go on from.")
@click.option(
    "--length",
    type=click.IntRange(1, MAX_LENGTH),
    default=500,
    show_default=True,
    metavar="N",
    help="Tokens to write.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100),
    default=0.8,
    show_default=True,
    metavar="T",
    help="0 writes the most probable, 1 as the text is, more is wilder.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed writes the same text.",
)
def generate(model: str, prompt: str, length: int, temperature: float, seed: int) -> None:
    """Write text with MODEL, one that "chainrule train FILE.txt --generate" wrote."""
    generator = load(model)
    if not isinstance(generator, TextGenerator):
        raise ArgumentError(
            model, "this model does not write text", got=type(generator).__name__,
            expected="a model trained with --generate", fix="use chainrule predict",
        )  # fmt: skip
    written = generator.generate(prompt, length=length, temperature=temperature, seed=seed)
    click.echo(printable(prompt + written))
