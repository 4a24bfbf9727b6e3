"""Small files in the layout of the published ones."""

from __future__ import annotations

import datetime
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import polars_readstat

SCORES_HEADER = "number,days,gender,age,afftype,melanch,inpatient,edu,marriage,work,madrs1,madrs2"
CONDITION_ROW = "{},{},2,35-39,2,2,2,6-10,1,2,19,21"
CONTROL_ROW = "{},{},1,25-29,NA,NA,NA, ,NA,NA,NA,NA"


def activity_csv(start: str, minutes: int, values: Sequence[int] | None = None) -> str:
    """One person's file: counts are the minute's number unless given."""
    first = datetime.datetime.fromisoformat(start)
    lines = ["timestamp,date,activity"]
    for minute in range(minutes):
        time = first + datetime.timedelta(minutes=minute)
        lines.append(f"{time},{time.date()},{minute % 500 if values is None else values[minute]}")
    return "\n".join(lines) + "\n"


def depresjon_files(people: int = 3, days: int = 8, start: str = "2003-05-07 12:00:00") -> dict[str, str]:
    """Names and texts: `people` in each group, each recorded for two days more than its `days`."""
    files, rows = {}, [SCORES_HEADER]
    for group, row in (("condition", CONDITION_ROW), ("control", CONTROL_ROW)):
        for number in range(1, people + 1):
            name = f"{group}_{number}"
            rows.append(row.format(name, days))
            files[f"{group}/{name}.csv"] = activity_csv(start, (days + 2) * 1440)
    files["scores.csv"] = "\n".join(rows) + "\n"
    return files


def write_folder(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def write_zip(path: pathlib.Path, files: dict[str, str], prefix: str = "depresjon/") -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(prefix + name, text)
    return path


def paxraw_rows(seqn: int, minutes: int = 10080, **changes: Any) -> pl.DataFrame:
    """One person's rows; `changes` replace whole columns. The week begins on a Tuesday (PAXDAY 3)."""
    minute = np.arange(minutes)
    columns = {
        "SEQN": np.full(minutes, seqn),
        "PAXSTAT": np.ones(minutes),
        "PAXCAL": np.ones(minutes),
        "PAXDAY": (2 + minute // 1440) % 7 + 1,
        "PAXN": minute + 1,
        "PAXHOUR": minute // 60 % 24,
        "PAXMINUT": minute % 60,
        "PAXINTEN": (minute * 7 + seqn) % 1000,
    }
    columns.update({name: np.broadcast_to(value, minutes) for name, value in changes.items()})
    return pl.DataFrame({name: np.asarray(values, dtype=np.float64) for name, values in columns.items()})


def change_row(rows: pl.DataFrame, row: int, **values: float | None) -> pl.DataFrame:
    """The rows with some values of one row (numbered from 0) replaced; None makes them missing."""
    at = pl.int_range(pl.len()) == row
    return rows.with_columns(
        pl.when(at).then(pl.lit(value)).otherwise(pl.col(n)).alias(n) for n, value in values.items()
    )


def write_xpt(path: pathlib.Path, table: pl.DataFrame, **options: Any) -> pathlib.Path:
    polars_readstat.write_xpt(table, str(path), version=5, table_name=path.stem, **options)
    return path


def nhanes_tables() -> dict[str, pl.DataFrame]:
    """Questionnaires of ten people, 101 to 110: see the comments for what each is for."""
    seqn = [float(number) for number in range(101, 111)]
    phq9 = {f"DPQ0{item}0": [0.0] * 10 for item in range(1, 10)}
    for item in ("DPQ010", "DPQ020", "DPQ030"):
        phq9[item][1] = 3.0  # 102: with DPQ040 the sum is 10, depressed
        phq9[item][2] = 3.0  # 103: the sum is 9, not depressed
    phq9["DPQ040"][1] = 1.0
    phq9["DPQ090"][3] = 9.0  # 104: don't know
    phq9["DPQ050"][4] = 7.0  # 105: refused
    ages = [40.0, 50.0, 30.0, 20.0, 60.0, 17.0, 18.0, 85.0, 33.0, 44.0]  # 106 is a minor, 107 just an adult
    missing: dict[str, Any] = {name: [None if row == 8 else v for row, v in enumerate(c)] for name, c in phq9.items()}
    return {
        "DEMO": pl.DataFrame({"SEQN": seqn, "RIAGENDR": [1.0, 2.0] * 5, "RIDAGEYR": ages}),
        "DPQ": pl.DataFrame({"SEQN": seqn, **missing}).filter(pl.col("SEQN") != 110),  # 109: no item, 110: no row
        "SLQ": pl.DataFrame(
            {
                "SEQN": seqn,
                "SLQ060": [1.0, 2.0, 7.0, 9.0, None, 2.0, 2.0, 2.0, 9.0, 2.0],
                "SLD010H": [7.0, 8.0, 7.0, 4.0, 12.0, 77.0, 5.0, 99.0, 7.0, 6.0],
            }
        ),
        "RXQ_RX": medicines(),
        "BMX": pl.DataFrame({"SEQN": seqn, "BMXBMI": [29.9, 30.0, 45.0, None, 20.0, 31.0, 30.1, 25.0, 25.0, 25.0]}),
    }


def medicines() -> pl.DataFrame:
    """A row a medicine. 102 takes none, 104 refused to say, 106 does not know one of two, 109 has no row."""
    rows: list[tuple[int, float, str]] = [
        (101, 1, "DIAZEPAM"),
        (101, 1, "METFORMIN"),
        (102, 2, ""),
        (103, 1, "AMLODIPINE; ATORVASTATIN"),
        (103, 1, "AMITRIPTYLINE; CHLORDIAZEPOXIDE"),
        (103, 1, "FLUOXETINE; OLANZAPINE"),
        (104, 7, ""),
        (105, 1, "ESCITALOPRAM"),
        (106, 1, "55555"),
        (106, 1, "INSULIN"),
        (107, 1, "NORDIAZEPAM"),  # contains a name, but is another one
        (108, 1, "DESVENLAFAXINE"),
        (110, 1, "99999"),
        (110, 1, "LORAZEPAM"),  # decisive, whatever the other one is
        (110, 1, "TRAZODONE"),
    ]
    columns = ("SEQN", "RXDUSE", "RXDDRUG")
    return pl.DataFrame(rows, schema=dict(zip(columns, (pl.Float64, pl.Float64, pl.String), strict=True)), orient="row")


def write_nhanes(
    folder: pathlib.Path, people: Sequence[pl.DataFrame] | None = None, cycle: str = "D", without: Sequence[str] = ()
) -> pathlib.Path:
    """A folder of all files; people 101 to 110 with a whole week each unless given."""
    folder.mkdir(parents=True, exist_ok=True)
    people = [paxraw_rows(number) for number in range(101, 111)] if people is None else people
    write_xpt(folder / f"PAXRAW_{cycle}.xpt", pl.concat(people))
    for stem, table in nhanes_tables().items():
        if stem not in without:
            write_xpt(folder / f"{stem}_{cycle}.xpt", table)
    return folder
