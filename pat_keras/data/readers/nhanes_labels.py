"""Labels and covariates of NHANES people: a table of rules over the questionnaire and examination files.

Codes are those of NCHS's codebooks. Rules: PHQ-9 sum >= 10 (Kroenke et al. 2001), the two sleep tasks and the two of
medicines as in Ruan et al. (arXiv 2411.15240), who took them from 2013-2014.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import pathlib
from collections.abc import Mapping

import polars as pl

from pat_keras.data.readers.xpt import find_xpt, read_xpt
from pat_keras.errors import LabelError

ADULT = 18  # years
YEARS = {"C": "2003-2004", "D": "2005-2006", "G": "2011-2012", "H": "2013-2014"}

OLDEST = {"C": 85, "D": 85, "G": 80, "H": 80}  # years; RIDAGEYR says no more of who is older

# People with each label in Ruan et al., of cycle H.
PAPER_PEOPLE = {
    "depression": 4800,
    "benzodiazepine": 7769,
    "ssri": 7769,
    "sleep_disorder": 5429,
    "sleep_abnormality": 5429,
}

# Generic names, as RXDDRUG has them.
BENZODIAZEPINES = (
    "ALPRAZOLAM",
    "BROMAZEPAM",
    "CHLORDIAZEPOXIDE",
    "CLOBAZAM",
    "CLONAZEPAM",
    "CLORAZEPATE",
    "DIAZEPAM",
    "ESTAZOLAM",
    "FLURAZEPAM",
    "LORAZEPAM",
    "NITRAZEPAM",
    "OXAZEPAM",
    "PRAZEPAM",
    "QUAZEPAM",
    "TEMAZEPAM",
    "TRIAZOLAM",
)
SSRIS = ("CITALOPRAM", "ESCITALOPRAM", "FLUOXETINE", "FLUVOXAMINE", "PAROXETINE", "SERTRALINE")

_PHQ9 = tuple(f"DPQ0{item}0" for item in range(1, 10))
_PHQ9_ITEMS = [pl.when(pl.col(item) <= 3).then(pl.col(item)) for item in _PHQ9]  # 7 refused, 9 don't know
_PHQ9_SUM = functools.reduce(operator.add, _PHQ9_ITEMS)  # null if any item is
_DISORDER = pl.when(pl.col("SLQ060") <= 2).then(pl.col("SLQ060") == 1)
_HOURS = pl.when(pl.col("SLD010H") <= 24).then(pl.col("SLD010H"))  # 77 refused, 99 don't know


def _takes(names: tuple[str, ...]) -> pl.Expr:
    """Whether one of a person's medicines is, or is a combination with, one of `names`, by whole names.

    Null if none is, but a medicine is unknown (55555, 77777, 99999, or blank), or it is unknown whether there are any
    (RXDUSE 7, 9, or missing).
    """
    parts = pl.col("RXDDRUG").str.to_uppercase().str.split(";")
    named = parts.list.eval(pl.element().str.strip_chars().is_in(names)).list.any().fill_null(False)
    drug, takes_some = pl.col("RXDDRUG").str.strip_chars().fill_null(""), pl.col("RXDUSE").fill_null(9)
    unknown = drug.is_in(("55555", "77777", "99999")) | (takes_some > 2) | ((takes_some == 1) & (drug == ""))
    return pl.when(named.any()).then(True).when(~unknown.any()).then(False)


# column -> codes that the codebook knows; any number if None
_CODES: dict[str, tuple[float, ...] | None] = {
    **dict.fromkeys(_PHQ9, (0.0, 1.0, 2.0, 3.0, 7.0, 9.0)),
    "RIAGENDR": (1.0, 2.0),
    "SLQ060": (1.0, 2.0, 7.0, 9.0),
    "SLD010H": (*map(float, range(25)), 77.0, 99.0),
    "RXDUSE": (1.0, 2.0, 7.0, 9.0),
    "RIDAGEYR": None,
    "BMXBMI": None,
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a label comes out of NHANES files.

    Attributes:
        file: stem of the file, without the cycle's letter.
        columns: what it needs of the file.
        value: the label, a number or a truth value; null = missing.
        meaning: what its numbers mean.
        missing: why somebody has none.
        adults: leave people under 18 without it.
        not_in: letters of cycles that did not ask it.
        texts: columns of text that it needs.
        many_rows: the file has a row for each of a person's things, and `value` is one of them all.
    """

    file: str
    columns: tuple[str, ...]
    value: pl.Expr
    meaning: str
    missing: str
    adults: bool = False
    not_in: str = ""
    texts: tuple[str, ...] = ()
    many_rows: bool = False


RULES: dict[str, Rule] = {
    "age": Rule("DEMO", ("RIDAGEYR",), pl.col("RIDAGEYR"), "years at screening", "no age in DEMO"),
    "age_over_60": Rule("DEMO", ("RIDAGEYR",), pl.col("RIDAGEYR") > 60, "1 older than 60, else 0", "no age in DEMO"),
    "sex": Rule("DEMO", ("RIAGENDR",), pl.col("RIAGENDR") == 2, "0 male, 1 female", "no sex in DEMO"),
    "phq9": Rule("DPQ", _PHQ9, _PHQ9_SUM, "PHQ-9 sum, 0-27", "no PHQ-9, or not complete", adults=True, not_in="C"),
    "depression": Rule(
        "DPQ", _PHQ9, _PHQ9_SUM >= 10, "1 PHQ-9 sum >= 10, else 0", "no PHQ-9, or not complete", adults=True, not_in="C"
    ),
    "sleep_disorder": Rule(
        "SLQ", ("SLQ060",), _DISORDER, "1 told by a doctor, 0 not (SLQ060)", "SLQ060 not answered", not_in="C"
    ),
    "sleep_abnormality": Rule(
        "SLQ",
        ("SLQ060", "SLD010H"),
        _DISORDER | (_HOURS >= 12) | (_HOURS <= 5),
        "1 sleep disorder, or sleeps 12 h and more or 5 h and less, else 0 (SLQ060, SLD010H)",
        "SLQ060 or SLD010H not answered, and the other one not decisive",
        not_in="C",
    ),
    **{
        name: Rule(
            "RXQ_RX",
            ("RXDUSE",),
            _takes(names),
            f"1 takes one of {len(names)} {kind} (RXDDRUG, whole names), else 0",
            "not in RXQ_RX, or the medicine is unknown",
            texts=("RXDDRUG",),
            many_rows=True,
        )
        for name, names, kind in (("benzodiazepine", BENZODIAZEPINES, "benzodiazepines"), ("ssri", SSRIS, "SSRIs"))
    },
    "bmi": Rule("BMX", ("BMXBMI",), pl.col("BMXBMI"), "body mass index, kg/m2", "no BMI in BMX"),
    "bmi_30": Rule("BMX", ("BMXBMI",), pl.col("BMXBMI") >= 30, "1 BMI >= 30, else 0", "no BMI in BMX", adults=True),
}


def read_labels(folder: pathlib.Path, cycle: str, required: str | None) -> tuple[pl.DataFrame, dict[str, str]]:
    """All labels whose files lie in `folder`, of everybody who is in one of them.

    Args:
        folder: of the .xpt files.
        cycle: letter.
        required: the label that has to be there, or None.

    Returns:
        people: `participant_id` (the SEQN), then a float64 column for each label, null = missing.
        meanings: of these columns.

    Raises:
        LabelError: if the required label is unknown, was not asked in this cycle, or its file is missing; or if a file
            has a code that is not in its codebook, or a person twice.
        RecordingError: if a file can't be read.
    """
    _check_required(required, cycle, folder)
    rules = {name: rule for name, rule in RULES.items() if cycle not in rule.not_in}
    paths = {rule.file: find_xpt(folder, f"{rule.file}_{cycle}") for rule in rules.values()}
    if not paths["DEMO"]:  # without ages, nobody is known to be an adult
        rules = {name: rule for name, rule in rules.items() if not rule.adults}
    rules = {name: rule for name, rule in rules.items() if paths[rule.file]}
    people = pl.DataFrame(schema={"SEQN": pl.Float64})
    for file, path in paths.items():
        of_file = {name: rule for name, rule in rules.items() if rule.file == file}
        if path and of_file:
            people = people.join(_read_file(path, of_file), on="SEQN", how="full", coalesce=True)
    for name, rule in rules.items():
        if rule.adults:
            people = people.with_columns(pl.when(pl.col("age") >= ADULT).then(pl.col(name)).alias(name))
    people = people.select(pl.col("SEQN").cast(pl.Int64).cast(pl.String).alias("participant_id"), *rules)
    added = {name: f"; {n:,} people in the paper" for name, n in PAPER_PEOPLE.items() if cycle == "H"}
    added["age"] = f"; {OLDEST[cycle]} is {OLDEST[cycle]} and older"
    return people, {name: rule.meaning + added.get(name, "") for name, rule in rules.items()}


def missing_reason(label: str, age: float | None) -> str:
    """Why a person of this age has no value of a label."""
    rule = RULES[label]
    if rule.adults and age is None:
        return "no age in DEMO"
    if rule.adults and age is not None and age < ADULT:
        return f"no {label}: younger than {ADULT} years"
    return f"no {label}: {rule.missing}"


def _check_required(required: str | None, cycle: str, folder: pathlib.Path) -> None:
    if required is None:
        return
    if required not in RULES:
        raise LabelError(f"NHANES: there is no rule for the label {required!r}, expected one of {', '.join(RULES)}.")
    rule = RULES[required]
    if cycle in rule.not_in:
        raise LabelError(
            f"NHANES {YEARS[cycle]}: {required} can't be had, since this cycle has no {rule.file} file with "
            f"{rule.columns[0]}. Choose another label or cycle."
        )
    for file in {rule.file, "DEMO"} if rule.adults else {rule.file}:
        if not find_xpt(folder, f"{file}_{cycle}"):
            raise LabelError(
                f"{folder}: the label {required} needs {file}_{cycle}.xpt, which is not there. Put it beside the "
                f"activity file; NCHS publishes it with NHANES {YEARS[cycle]}."
            )


def _read_file(path: pathlib.Path, rules: Mapping[str, Rule]) -> pl.DataFrame:
    columns = sorted({column for rule in rules.values() for column in rule.columns})
    texts = sorted({column for rule in rules.values() for column in rule.texts})
    many_rows = any(rule.many_rows for rule in rules.values())
    table = read_xpt(path, ["SEQN", *columns], texts)
    seqn = table["SEQN"]
    if seqn.is_null().any() or (seqn != seqn.round()).any():
        raise LabelError(f"{path}: SEQN is missing or no whole number in some rows. Restore NCHS's file.")
    if not many_rows and seqn.is_duplicated().any():
        raise LabelError(
            f"{path}: SEQN {seqn.filter(seqn.is_duplicated())[0]:.0f} is there more than once; expected one row each."
        )
    for column in columns:
        _check_codes(path, table, column)
    values = [rule.value.cast(pl.Float64).alias(name) for name, rule in rules.items()]
    return table.group_by("SEQN", maintain_order=True).agg(values) if many_rows else table.select("SEQN", *values)


def _check_codes(path: pathlib.Path, table: pl.DataFrame, column: str) -> None:
    codes = _CODES[column]
    unknown = table.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(codes or [], nulls_equal=True))
    if codes is not None and len(unknown):
        raise LabelError(
            f"{path}: {column} of SEQN {unknown['SEQN'][0]:.0f} is {unknown[column][0]:g}, a code that the codebook "
            f"does not have ({len(unknown)} such people); expected one of {', '.join(f'{code:g}' for code in codes)}. "
            "Restore NCHS's file."
        )
