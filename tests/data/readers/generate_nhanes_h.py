"""Small files of NHANES 2013-2014 (H) with the columns of the published ones, written from labels chosen beforehand.

The labels come first, and the answers are made to fit them, so that what a reader says of the files can be compared
with what they were made for.
"""

from __future__ import annotations

import pathlib

import numpy as np
import polars as pl

from tests.data.readers.generate import write_xpt

TASKS = ("depression", "benzodiazepine", "ssri", "sleep_disorder", "sleep_abnormality")
FIRST = 73557  # SEQN
REJECTED = {  # what is wrong with the last people -> how the reason begins for which they are rejected
    "a minute that could not be computed": "some minutes missing",
    "taken off early": "recorded for fewer than 7 whole days",
    "only zeros": "only zeros",
    "clock at odds": "clock at odds with PAXHD",
}
_DAY_1 = 500  # minutes of the first day
_DAY_9 = 1040
_START = "15:40:00"  # 500 minutes before midnight

# What stands in RXDDRUG of somebody who takes one, and of people who take others, some of them with like names.
_BENZODIAZEPINES = ("ALPRAZOLAM", "AMITRIPTYLINE; CHLORDIAZEPOXIDE", "TEMAZEPAM")
_SSRIS = ("SERTRALINE", "FLUOXETINE; OLANZAPINE", "ESCITALOPRAM")
_OTHERS = ("METFORMIN", "NORDIAZEPAM", "DESVENLAFAXINE", "AMLODIPINE; ATORVASTATIN")


def choose_labels(people: int, seed: int) -> pl.DataFrame:
    """What the files are to say: participant_id, age, and a number or null for each task.

    Every third adult is positive in each task, in another order; every sixth person is younger than 18 and has no
    PHQ-9, some of those no answer about sleep, and some adults refused one.
    """
    rng = np.random.default_rng(seed)
    number = np.arange(people)
    minor = number % 6 == 5
    columns: dict[str, np.ndarray] = {"age": np.where(minor, 6 + number % 12, 18 + number % 60)}
    for task in TASKS:
        columns[task] = (rng.permutation(people) % 3 == 0).astype(float)
    columns["depression"][minor | (number % 16 == 3)] = np.nan
    columns["sleep_disorder"][(columns["age"] < 16) | (number % 16 == 7)] = np.nan
    # A sleep disorder is a sleep abnormality; where it is unknown, extreme hours decide.
    disorder = columns["sleep_disorder"]
    columns["sleep_abnormality"][disorder == 1] = 1.0
    columns["sleep_abnormality"][np.isnan(disorder) & (columns["sleep_abnormality"] == 0)] = np.nan
    columns["sleep_abnormality"][columns["age"] < 16] = np.nan
    columns["ssri"][number % 16 == 11] = np.nan
    columns["benzodiazepine"][number % 16 == 11] = np.nan
    table = pl.DataFrame({"participant_id": [str(FIRST + one) for one in number], **columns})
    return table.with_columns(pl.col(*TASKS).fill_nan(None))


def write_cycle_h(folder: pathlib.Path, people: int, seed: int = 0) -> pl.DataFrame:
    """All files of the cycle, of `people` with complete weeks and of one more for each of `REJECTED`.

    Returns:
        The labels of `choose_labels`, those who are to be rejected included as the last rows.
    """
    folder.mkdir(parents=True)
    labels = choose_labels(people + len(REJECTED), seed)
    tables = {
        "DEMO": _demographics(labels),
        "DPQ": _phq9(labels, seed),
        "SLQ": _sleep(labels),
        "RXQ_RX": _medicines(labels),
        "BMX": labels.select(_seqn(), BMXWT=pl.lit(70.0), BMXBMI=20.0 + pl.col("age") % 20),
        "PAXHD": _header(labels),
        "PAXMIN": pl.concat(_minutes(row, labels, people, seed) for row in range(len(labels))),
    }
    for stem, table in tables.items():
        write_xpt(folder / f"{stem}_H.xpt", table)
    return labels


def _seqn() -> pl.Expr:
    return pl.col("participant_id").cast(pl.Float64).alias("SEQN")


def _demographics(labels: pl.DataFrame) -> pl.DataFrame:
    sex = 1.0 + pl.int_range(pl.len()) % 2
    return labels.select(_seqn(), SDDSRVYR=pl.lit(8.0), RIAGENDR=sex, RIDAGEYR=pl.col("age").cast(pl.Float64))


def _phq9(labels: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Adults only. Sums at the edge (9 and 10) and others; those without a label refused or didn't know an item."""
    rng = np.random.default_rng(seed)
    rows = []
    for participant, age, depressed in labels.select("participant_id", "age", "depression").iter_rows():
        if age < 18:
            continue
        total = 10 + rng.integers(0, 3) if depressed else rng.integers(7, 10)
        items = np.zeros(9)
        for _ in range(total):
            items[rng.choice(np.flatnonzero(items < 3))] += 1
        if depressed is None:
            items[rng.integers(9)] = rng.choice([7.0, 9.0])
        rows.append([float(participant), *items.tolist(), 0.0])
    return pl.DataFrame(rows, schema=["SEQN", *(f"DPQ{item:03d}" for item in range(10, 101, 10))], orient="row")


def _sleep(labels: pl.DataFrame) -> pl.DataFrame:
    """People of 16 and more. Some abnormal ones have the disorder, some extreme hours, some hours of 77 and 99."""
    rows = []
    wanted = labels.filter(pl.col("age") >= 16).select("participant_id", "sleep_disorder", "sleep_abnormality")
    for place, (participant, disorder, abnormal) in enumerate(wanted.iter_rows()):
        told = {1.0: 1.0, 0.0: 2.0, None: 7.0 + 2.0 * (place % 2)}[disorder]
        if disorder == 1:
            hours = (7.0, 77.0, 99.0, 4.0)[place % 4]
        elif abnormal:
            hours = (12.0, 5.0, 2.0, 14.0)[place % 4]
        elif abnormal is None:
            hours = (8.0, 77.0)[place % 2]
        else:
            hours = (6.0, 11.0, 8.0)[place % 3]
        rows.append([float(participant), hours, 2.0, told])
    return pl.DataFrame(rows, schema=["SEQN", "SLD010H", "SLQ050", "SLQ060"], orient="row")


def _medicines(labels: pl.DataFrame) -> pl.DataFrame:
    """A row a medicine, as in RXQ_RX; somebody without any has one row, and some refused to say."""
    rows: list[tuple[float, float, str, float | None]] = []
    for place, (participant, takes, ssri) in enumerate(
        labels.select("participant_id", "benzodiazepine", "ssri").iter_rows()
    ):
        seqn = float(participant)
        if takes is None:
            rows.append((seqn, 7.0, "", None))
            continue
        names = [_BENZODIAZEPINES[place % 3]] * bool(takes) + [_SSRIS[place % 3]] * bool(ssri)
        names += [_OTHERS[place % 4]] * (place % 2)
        rows += [(seqn, 1.0, name, 30.0) for name in names] or [(seqn, 2.0, "", None)]
    schema = {"SEQN": pl.Float64, "RXDUSE": pl.Float64, "RXDDRUG": pl.String, "RXDDAYS": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _header(labels: pl.DataFrame) -> pl.DataFrame:
    odd = labels["participant_id"][-1]
    time = pl.when(pl.col("participant_id") == odd).then(pl.lit("08:00:00")).otherwise(pl.lit(_START))
    return labels.select(_seqn(), PAXSTS=pl.lit(1.0), PAXFTIME=time)


def _minutes(row: int, labels: pl.DataFrame, people: int, seed: int) -> pl.DataFrame:
    """Nine days of one person, the first and the last of them parts; people of `REJECTED` with their flaw."""
    flaw = list(REJECTED)[row - people] if row >= people else ""
    minute = np.arange(_DAY_1 + 7 * 1440 + _DAY_9)
    day = np.where(minute < _DAY_1, 1, 2 + (minute - _DAY_1) // 1440)
    clock = (minute - _DAY_1) % 1440
    rng = np.random.default_rng([seed, row])
    awake = (clock > 420) & (clock < 1380)
    mims = np.round(rng.gamma(1.5, 8.0, len(minute)) * awake, 3)
    if flaw == "a minute that could not be computed":
        mims[_DAY_1 + 700] = -0.01
    mims[:20] = -0.01  # on day 1, which is not taken
    if flaw == "only zeros":
        mims[:] = 0
    weekday = (row + day - 1) % 7 + 1
    table = pl.DataFrame(
        {
            "SEQN": np.full(len(minute), float(labels["participant_id"][row])),
            "PAXDAYM": day.astype(str),
            "PAXDAYWM": weekday.astype(str),
            "PAXSSNMP": minute * 4800.0,
            "PAXTSM": np.full(len(minute), 60.0),
            "PAXAISMM": np.where(awake, 0.0, 4000.0),
            "PAXMTSM": mims,
            "PAXPREDM": np.where(awake, "1", np.where(day == 4, "3", "2")),
            "PAXQFM": np.where(minute % 3000 == 10, 1.0, 0.0),
        }
    )
    return table.filter(pl.col("PAXDAYM").cast(pl.Int64) < 6) if flaw == "taken off early" else table
