"""The program ``chainrule``: its commands, and how errors reach the user."""

import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from chainrule import __version__
from chainrule.cli.commands.demo import demo
from chainrule.cli.commands.diagnose import diagnose
from chainrule.cli.commands.evaluate import evaluate
from chainrule.cli.commands.explain import explain
from chainrule.cli.commands.generate import generate
from chainrule.cli.commands.predict import predict
from chainrule.cli.commands.summary import summary
from chainrule.cli.commands.train import train
from chainrule.cli.commands.transcribe import transcribe
from chainrule.cli.options import examples
from chainrule.cli.text import printable
from chainrule.errors import ChainruleError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "chainrule train penguins.csv --target species",
        "chainrule predict penguins.safetensors new.csv --out answers.csv",
        "chainrule evaluate penguins.safetensors test.csv",
        "chainrule summary penguins.safetensors",
        "chainrule diagnose penguins.csv --target species",
        "chainrule demo",
    ),
)
@click.version_option(__version__, prog_name="chainrule")
def commands() -> None:
    """Train neural networks on tables: CSV, TSV or Parquet files with one row for each case."""


for command in (train, predict, transcribe, evaluate, explain, diagnose, summary, demo, generate):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    A mistake in the input ends with one message on standard error, never with a traceback.

    Args:
        arguments: the words after ``chainrule``; default those of the process.

    Returns:
        0, or 2 after a mistake, 130 after Ctrl-C.
    """
    warnings.showwarning = _show_warning
    try:
        # click gives back the code of --help and --version, and None after a command.
        return commands.main(arguments, prog_name="chainrule", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return EXIT_MISTAKE
    except (ChainruleError, MemoryError) as error:
        text = str(error) or "[memory] the data does not fit. To fix: use fewer rows or columns."
        click.echo(f"Error: {printable(text)}", err=True)
        return EXIT_MISTAKE
    except click.Abort:
        click.echo("Stopped.", err=True)
        return EXIT_INTERRUPTED


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(f"Warning: {printable(str(message))}", err=True)
