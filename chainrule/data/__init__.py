"""Tables and targets: read them, describe them, turn them into numbers for a network.

file, data frame, array  ->  Table  ->  TablePreprocessor  ->  float32 features (N, D)
target column            ->  ClassEncoder, MultiLabelEncoder or RegressionScaler  ->  codes or
numbers
"""

from chainrule.data.convert import as_table
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

__all__ = [
    "ClassEncoder",
    "Column",
    "DroppedColumn",
    "MatrixTable",
    "MultiLabelEncoder",
    "PreprocessorReport",
    "RegressionScaler",
    "Table",
    "TablePreprocessor",
    "TaskDecision",
    "UsedColumn",
    "as_table",
    "infer_task",
    "read_table",
    "split_indices",
]
