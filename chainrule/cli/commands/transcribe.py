"""``chainrule transcribe``: what is said in sounds."""

import click

from chainrule.cli.answers import to_csv
from chainrule.cli.options import examples, model_argument
from chainrule.cli.speech import transcribed
from chainrule.cli.text import count
from chainrule.errors import ArgumentError
from chainrule.estimators import SpeechRecognizer, load
from chainrule.formats import check_writable
from chainrule.formats.atomic import write_atomically


@click.command(
    epilog=examples(
        "chainrule transcribe speech.safetensors a.wav b.wav",
        "chainrule transcribe speech.safetensors recordings --out said.csv",
    )
)
@model_argument
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="The CSV file to write.  [default: standard output]")
def transcribe(model: str, data: tuple[str, ...], out: str | None) -> None:
    """Write what is said in the sounds DATA, files and folders, as CSV.

    MODEL is one that "chainrule train --transcripts" wrote. The column "file" names each sound,
    "transcript" holds what is said; files that cannot be read are told and left out.
    """
    if out is not None:
        check_writable(out)
    recognizer = load(model)
    if not isinstance(recognizer, SpeechRecognizer):
        raise ArgumentError(
            model, "this model does not write down speech", got=type(recognizer).__name__,
            expected="a model trained with --transcripts", fix="use chainrule predict",
        )  # fmt: skip
    columns = transcribed(recognizer, data)
    text = to_csv(columns)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, [text.encode()])
        click.echo(f"{count(len(columns['file']), 'transcript')} written to {out}", err=True)
