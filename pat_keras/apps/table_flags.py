"""Flags of pat-prepare for plain tables and for tables of labels, and the configs that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from pat_keras.errors import ConfigError

if TYPE_CHECKING:  # they import polars
    from pat_keras.data.label_config import LabelConfig
    from pat_keras.data.readers.table_config import TableConfig

_LABELLED = ("depresjon", "psykose", "nhanes")  # sources that bring labels

# name -> kind, default, help. Every one that is not given is found out from the files, and shown.
_TABLE: dict[str, tuple[Any, Any, str]] = {
    "files": (str, None, "Pattern of names in the folder or zip that are to be read, such as 'patient/*.csv'."),
    "timestamp_column": (list, None, "Column with date and time; or two, DATE,TIME."),
    "value_column": (str, None, "Column with the activity. Columns without a name are column_1, column_2, ..."),
    "timestamp_format": (
        str,
        None,
        "How times are written, as in strptime: '%d.%m.%Y %H:%M'; or unix, unix_ms. Needed where day and month can't "
        "be told apart.",
    ),
    "timezone": (
        str,
        None,
        "Where the device was worn, such as Europe/Oslo: for clocks that change to summer time, and times in UTC.",
    ),
    "skip_rows": (int, None, "Lines above the header."),
    "separator": (("comma", "semicolon", "tab", "bar", "space"), None, "Between columns."),
    "decimal": (("point", "comma"), None, "Decimal mark."),
    "encoding": (str, None, "Of the text: utf-8, utf-16, latin-1, ..."),
    "epoch_length": (int, None, "Seconds between samples; each person's median if not given."),
    "unit": (
        str,
        None,
        "Of the activity. Epochs shorter than a minute are summed (counts, steps, PIM, TAT, ZCM, MIMS) or averaged "
        "(ENMO) to minutes.",
    ),
    "missing_values": (list, None, "What stands for a missing value, beside blanks, NA and NaN: -1,-999."),
    "duplicates": (("error", "first", "last", "mean", "sum"), "error", "Samples with the same time: which to keep."),
    "unsorted": (("error", "sort"), "error", "Rows that are not in order of time."),
    "doubled_hour": (
        ("first", "second", "mean"),
        "first",
        "Which of the two hours to keep when clocks go back (with --timezone, or times with an offset from UTC).",
    ),
    "on_bad_file": (
        ("error", "reject"),
        "error",
        "A file (with --id_column, a person's rows) that can't be read: stop, or count its person as rejected.",
    ),
}
_LABELS: dict[str, tuple[Any, Any, str]] = {
    "labels": (
        str,
        None,
        "Table of labels and covariates, one row a person: .csv, .tsv, .txt, .parquet, .xpt (SAS), .sav (SPSS), .dta "
        "(Stata). Who is in only one of table and recordings is rejected, and counted.",
    ),
    "label_id_column": (str, None, "Column of --labels with the ids; --id_column, or participant_id, if not given."),
    "label_column": (
        list,
        None,
        "Columns of --labels to take; if not given, all that hold numbers, and those of train, validation and test for "
        "pat-finetune --split=column.",
    ),
    "positive": (
        str,
        None,
        "Makes a label of 0 and 1 by a rule, such as 'phq9>=10' or 'group in {a, b}'; it is named by --label, or "
        "'label'. A missing value stays missing.",
    ),
    "map": (
        str,
        None,
        "Numbers for texts: yes=1,no=0. It is applied to the one --label_column; of several, or if none is given, to "
        "those columns of text whose every word it has; columns of numbers stay as they are.",
    ),
    "label_missing_values": (
        list,
        None,
        "What stands for a missing label, beside blanks, NA and NaN. 7,9 applies to every column of --labels, even "
        "where 9 is a true score; group:9 to the column group alone.",
    ),
}


def define_tables(values: flags.FlagValues) -> None:
    """Defines the flags of `table_config` and `label_config`."""
    _define(values, _TABLE, "csv: ")
    flags.DEFINE_string(
        "id_column",
        None,
        "csv: column that tells whose row it is; recordings of one person from several files are joined. Without it "
        "every file is one person's, named by the file, and a column of ids that says otherwise is an error; "
        "--id_column= with nothing after it takes the names all the same. With --labels and no --label_id_column: "
        "column of that table, too.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "id_pattern",
        None,
        "csv and devices: regular expression of the participant_id in the name of a file (its first group, if it has "
        "one), such as '^[^_]+' for P01_visit1.csv and P01_visit2.csv; with a / in it, of the path below --raw, such "
        "as '^([^/]+)/' for P01/visit1.csv, where the folder is the person. Recordings of one person from several "
        "files are joined.",
        flag_values=values,
    )
    _define(values, _LABELS, "")


def _define(values: flags.FlagValues, table: dict[str, tuple[Any, Any, str]], prefix: str) -> None:
    kinds: dict[Any, Any] = {str: flags.DEFINE_string, int: flags.DEFINE_integer, list: flags.DEFINE_list}
    for name, (kind, default, text) in table.items():
        if isinstance(kind, tuple):
            flags.DEFINE_enum(name, default, list(kind), prefix + text, flag_values=values)
        else:
            kinds[kind](name, default, prefix + text, flag_values=values)


def check_tables(values: flags.FlagValues) -> None:
    """Refuses flags that the source, or the lack of --labels, leaves without effect.

    Raises:
        ConfigError: naming the first of them.
    """
    for name in _TABLE:
        if values[name].present and values.source != "csv":
            raise ConfigError(f"--{name} is for --source=csv, but --source is {values.source}. Leave it out.")
    if values.id_column is not None and values.source != "csv" and values.labels is None:
        raise ConfigError("--id_column is for --source=csv, or for --labels. Leave it out.")
    if values.id_pattern is not None and values.source in _LABELLED:
        raise ConfigError(
            f"--id_pattern is for --source=csv and devices, but --source is {values.source}. Leave it out."
        )
    if values.labels is not None:
        return
    for name in _LABELS:
        if values[name].present:
            raise ConfigError(
                f"--{name} is about the table of --labels, which is not given. Give it, or leave this out."
            )
    if values.source not in _LABELLED and values.label is not None:
        raise ConfigError(
            f"--label={values.label}: recordings of --source={values.source} have no labels of their own. Give a table "
            "of them by --labels."
        )


def table_config(values: flags.FlagValues) -> TableConfig:
    """How plain tables are to be read.

    Raises:
        ConfigError: for values that make no sense.
    """
    from pat_keras.data.readers.table_config import TableConfig

    named = {name: values[name].value for name in _TABLE if name != "files"}
    for name in ("timestamp_column", "missing_values"):
        named[name] = tuple(named[name] or ())
    return TableConfig(**named, id_column=values.id_column, id_pattern=values.id_pattern)


def label_config(values: flags.FlagValues) -> LabelConfig | None:
    """Which labels are to be joined; None without --labels."""
    from pat_keras.data.label_config import LabelConfig

    if values.labels is None:
        return None
    return LabelConfig(
        path=values.labels,
        id_column=values.label_id_column or values.id_column or "participant_id",
        columns=tuple(values.label_column or ()),
        positive=values.positive,
        name=values.label or "label",
        mapping=values.map,
        missing_values=tuple(values.label_missing_values or ()),
    )
