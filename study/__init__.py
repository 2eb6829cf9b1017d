"""The machine: configs, data, training, search, tables and statistics. The questions are in search_spaces."""

__version__ = "0.1.0"
