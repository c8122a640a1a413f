"""Tables, pictures, sounds and targets: read, described, turned into numbers for a network.

file, data frame, array  ->  Table  ->  TablePreprocessor  ->  float32 features (N, D)
target column            ->  ClassEncoder, MultiLabelEncoder or RegressionScaler  ->  codes or
numbers
folder of pictures       ->  ImageData: pictures (N, height, width, channels) and their classes
folder of sounds         ->  AudioData: samples of one rate, and classes or transcripts
texts                    ->  TextData, by TextEncoder numbers of tokens (N, length)
idx file                 ->  array
"""

from chainrule.data.audio_decoding import AudioPreparation
from chainrule.data.audio_reading import AudioData, audio, read_sounds
from chainrule.data.convert import as_table
from chainrule.data.idx_files import idx
from chainrule.data.image_decoding import ImagePreparation
from chainrule.data.image_reading import ImageData, images, read_pictures
from chainrule.data.media_files import Skipped
from chainrule.data.preprocessing import TablePreprocessor
from chainrule.data.readers import read_table
from chainrule.data.report import DroppedColumn, PreprocessorReport, UsedColumn
from chainrule.data.split import split_indices
from chainrule.data.table import Column, MatrixTable, Table
from chainrule.data.targets import (
    ClassEncoder,
    MultiLabelEncoder,
    RegressionScaler,
    TaskDecision,
    infer_task,
)
from chainrule.data.text_encoding import TextEncoder
from chainrule.data.text_reading import TextData, read_file, read_lines, read_texts, text
from chainrule.data.windows import windows

__all__ = [
    "AudioData",
    "AudioPreparation",
    "ClassEncoder",
    "Column",
    "DroppedColumn",
    "ImageData",
    "ImagePreparation",
    "MatrixTable",
    "MultiLabelEncoder",
    "PreprocessorReport",
    "RegressionScaler",
    "Skipped",
    "Table",
    "TablePreprocessor",
    "TaskDecision",
    "TextData",
    "TextEncoder",
    "UsedColumn",
    "as_table",
    "audio",
    "idx",
    "images",
    "infer_task",
    "read_file",
    "read_lines",
    "read_pictures",
    "read_sounds",
    "read_table",
    "read_texts",
    "split_indices",
    "text",
    "windows",
]
