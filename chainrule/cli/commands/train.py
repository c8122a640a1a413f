"""``chainrule train``: from data of any kind to a model file."""

from typing import Any

import click
from click.core import ParameterSource

from chainrule.cli.kind import TrainRequest
from chainrule.cli.kinds import kind_of_data, refuse_options_of_others
from chainrule.cli.options import (
    data_argument,
    encoding_option,
    examples,
    hidden_sizes,
    json_option,
    picture_size,
    thresholds,
)
from chainrule.data.image_decoding import ASPECTS
from chainrule.data.text_encoding import TOKENIZERS
from chainrule.data.tokenizers import CHINESE
from chainrule.estimators import NetworkClassifier
from chainrule.estimators.audio_defaults import MOST_SECONDS
from chainrule.estimators.defaults import ADAM_RATE
from chainrule.estimators.image_defaults import NETWORKS

DEFAULTS = NetworkClassifier().get_params()

#: Options that set the estimator of every kind.
SETTINGS = ("epochs", "until", "learning_rate", "batch_size")


@click.command(
    epilog=examples(
        "chainrule train penguins.csv --target species",
        "chainrule train houses.parquet --target price --hidden 128,64 --out houses.safetensors",
        "chainrule train digits.csv --target digit --until loss=0.05 --json",
        "chainrule train photos --out birds.safetensors",
        "chainrule train reviews.csv --text text --target label",
        "chainrule train stories.txt --generate",
        "chainrule train birds.csv --images file --target species --size 96",
        "chainrule train words --out words.safetensors",
        "chainrule train said.csv --transcripts text",
    )
)
@data_argument
@click.option("--target", metavar="COLUMN", help="The column to predict; a folder needs none.")
@click.option(
    "--out", metavar="MODEL", help="The model file to write.  [default: DATA's name].safetensors"
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    show_default=True,
    callback=lambda context, option, value: None if value == "auto" else value,
    help="auto decides by the values of the target.",
)
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="A column not to learn from; repeatable."
)
@click.option(
    "--hidden",
    callback=hidden_sizes,
    metavar="N,N,...",
    help=f"Widths of the hidden layers.  [default: {','.join(map(str, DEFAULTS['hidden']))}]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Epochs at most.  [default: {DEFAULTS['epochs']}; for files by their number]",
)
@click.option(
    "--until",
    callback=thresholds,
    multiple=True,
    metavar="NAME=VALUE",
    help="Train until a number is that good, such as loss=0.05 or val_accuracy=0.9; repeatable. "
    "Early stopping is off then.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help=f"Size of a step.  [default: {ADAM_RATE}]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Examples in one step.  [default: by their number]",
)
@click.option(
    "--test-fraction",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="F",
    help="Share held out to test the model; 0 learns from all.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed gives the same model.",
)
@click.option(
    "--images", metavar="COLUMN", help="DATA is a table of pictures; the column of their paths."
)
@click.option(
    "--size",
    callback=picture_size,
    metavar="N|HxW",
    help="Height and width of pictures.  [default: their own if one and small, else 64]",
)
@click.option(
    "--aspect",
    type=click.Choice(ASPECTS),
    default="stretch",
    show_default=True,
    help="How pictures of another shape are brought to that size.",
)
@click.option(
    "--network",
    type=click.Choice(["auto", *NETWORKS]),
    default="auto",
    show_default=True,
    help="The network for pictures; auto decides by their size and number.",
)
@click.option(
    "--augment/--no-augment",
    default=True,
    show_default=True,
    help="Change pictures or sounds a little in training.",
)
@click.option(
    "--mistakes",
    metavar="PNG",
    help="The picture of mistakes to write.  [default: MODEL's name]-mistakes.png",
)
@click.option(
    "--audio", metavar="COLUMN", help="DATA is a table of sounds; the column of their paths."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.05, max=MOST_SECONDS),
    metavar="S",
    help="Length that sounds are brought to.  [default: that of the longest, a twentieth left out]",
)
@click.option(
    "--transcripts",
    metavar="COLUMN",
    help="DATA is a table of sounds; the column of what is said in each.",
)
@click.option(
    "--text", metavar="COLUMN", help="DATA is a table of texts; the column that holds them."
)
@click.option("--generate", is_flag=True, help="DATA is a text file; learn to write such text.")
@click.option(
    "--tokens",
    type=click.Choice(["auto", *TOKENIZERS]),
    default="auto",
    show_default=True,
    help="What texts are cut into; auto: words, their runs and pieces.",
)
@click.option(
    "--chinese",
    type=click.Choice(CHINESE),
    default=CHINESE[0],
    show_default=True,
    help="What Chinese is cut into; jieba makes words and must be installed.",
)
@encoding_option
@json_option
@click.pass_context
def train(
    context: click.Context,
    /,
    data: str,
    target: str | None,
    encoding: str,
    out: str | None,
    test_fraction: float,
    seed: int,
    as_json: bool,
    **others: Any,
) -> None:
    """Train a network on DATA and write it to a model file.

    DATA is a table (CSV, TSV or Parquet), or a folder of pictures, sounds or texts with a
    sub-folder for each class.

    Numbers are standardised, categories become one input for each value, missing cells are filled
    in and marked. Part of the rows is held out to test the model, the classes in proportion;
    training stops when the loss on another part no longer falls, and the best weights are put back.
    Ctrl-C stops early and keeps the model.

    Pictures are brought to one size; files that cannot be read are listed and skipped. The most
    confident mistakes of the test are drawn into a PNG.

    Sounds (WAV, FLAC, OGG) are mixed to mono, brought to one sample rate and one length. With
    --transcripts the network learns to write down what is said.

    Texts are cut into words, runs of words and pieces of words. A table is one of texts if --text
    names their column, or if nothing but texts stands beside the target. With --generate the
    network learns to go on with a text; "chainrule generate" lets it write.
    """
    settings = {name: others.pop(name) for name in SETTINGS}
    given = {name: value for name, value in settings.items() if value is not None}
    kind = kind_of_data(data, others)
    by_user = [
        name for name in others if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    refuse_options_of_others(kind, data, by_user)
    kind.train(
        TrainRequest(data, target, encoding, out, test_fraction, seed, as_json, given, others)
    )
