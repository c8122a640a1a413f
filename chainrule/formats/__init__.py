"""File formats: model files (safetensors)."""

from chainrule.formats.model_file import check_writable, read_model_file, write_model_file

__all__ = ["check_writable", "read_model_file", "write_model_file"]
