"""``chainrule train TABLE --transcripts COLUMN``: from sounds and what is said to a model file."""

import time
from pathlib import Path

from chainrule.cli import media, report, sounds, speech
from chainrule.cli.kind import TrainRequest
from chainrule.cli.outputs import check_model_output
from chainrule.cli.text import count, printable
from chainrule.cli.training import fit, split
from chainrule.data import AudioData, audio
from chainrule.errors import ArgumentError
from chainrule.estimators import SpeechRecognizer


def train_speech(request: TrainRequest) -> None:
    """Read sounds and transcripts, train, save, test and report."""
    start = time.perf_counter()
    source, own = request.data, request.own
    if request.target is not None:
        raise ArgumentError(
            "--target", "this option is for classes", got="a table of transcripts",
            fix="leave --target or --transcripts out",
        )  # fmt: skip
    path = request.out or f"{Path(source).resolve().stem}.safetensors"
    check_model_output(path)
    recognizer = SpeechRecognizer(
        augment=own["augment"], random_state=request.seed, verbose="auto", **request.settings
    )
    data: AudioData = media.with_progress(
        sounds.NOUN, audio, source, path_column=own["audio"], label_column=own["transcripts"],
        transcripts=True,
    )  # fmt: skip
    train_rows, test_rows = split(request, len(data), None, source, sounds.NOUN)
    fit(recognizer, data.take(train_rows))
    recognizer.save(path)
    test = data.take(test_rows)
    found = recognizer.transcribe(test) if len(test) else []
    seconds = time.perf_counter() - start
    _print_report(source, data, len(test), recognizer)
    rates, wrong = None, None
    if len(test):
        rates, wrong = speech.print_errors(test.transcripts, found, "Test")
    report.console().print(f"\nModel written to {printable(path)} ({seconds:.1f} s in all)")
    if request.as_json:
        history = recognizer.history_
        report.print_json(
            {
                **speech.facts(recognizer),
                "sounds": len(data),
                "skipped": [item._asdict() for item in data.skipped],
                "train_sounds": len(data) - len(test),
                "test_sounds": len(test),
                "duration": round(data.seconds, 3),
                "stopped": history.stopped if history else None,
                "stopped_by": history.stopped_by if history else None,
                "test": rates,
                "wrong": wrong,
                "seconds": round(seconds, 3),
                "model": path,
            }
        )


def _print_report(
    source: str, data: AudioData, test_count: int, recognizer: SpeechRecognizer
) -> None:
    learnt = count(len(data) - test_count, "sound")
    parameters = count(recognizer.model_.summary().parameters, "parameter")
    lines = [
        *sounds.sound_facts(source, data),
        ("Prepared", sounds.preparation_fact(data.preparation, recognizer.length_)),
        ("Letters", speech.letters_fact(recognizer)),
        ("Split", f"{learnt} to learn from, {test_count:,} held out to test"),
        ("Network", f"{recognizer.network_}, {parameters}"),
    ]
    history = recognizer.history_
    if history is not None:
        epochs = count(history.epochs, "epoch")
        lines.append(("Training", f"{epochs} in {history.seconds:.1f} s; {history.stopped}"))
        lines += [("", note) for note in history.notes]
    report.print_facts(report.console(), lines)
