"""The cohort: what it refuses, what it keeps, and that a file gives back what went in."""

from __future__ import annotations

import datetime
import pathlib
import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from pat_keras.data.cohort import Cohort, read_arrays
from pat_keras.data.measurement import axis_of
from pat_keras.errors import CohortError, LabelError

LENGTH = 2880


def make(ids: list[str], seed: int = 0, unit: str = "counts", length: int = LENGTH) -> Cohort:
    rng = np.random.default_rng(seed)
    activity = rng.poisson(40, (len(ids), length)).astype(np.float32)
    activity[0, :10] = np.nan
    table = pl.DataFrame(
        {
            "participant_id": ids,
            "start": [datetime.datetime(2020, 1, 1 + row) for row in range(len(ids))],
            "depressed": [None, *(row % 2 for row in range(1, len(ids)))],
            "age": [20.5 + row for row in range(len(ids))],
            "sex": ["f" if row % 2 else "m" for row in range(len(ids))],
        }
    )
    return Cohort(activity, table, {"source": "made", "unit": unit, "funnel": [{"step": "kept", "people": len(ids)}]})


@pytest.fixture
def cohort() -> Cohort:
    return make(["0012", "b", "b", "c"])


@pytest.mark.parametrize("length", [LENGTH, 7])
def test_a_file_gives_back_what_went_in(tmp_path: pathlib.Path, length: int) -> None:
    cohort = make(["0012", "b", "b", "c"], length=max(length, 11))
    cohort.write(tmp_path / "new folder" / "c.parquet")
    back = Cohort.read(tmp_path / "new folder" / "c.parquet")
    np.testing.assert_array_equal(back.activity, cohort.activity)
    assert back.table.equals(cohort.table) and back.table.schema == cohort.table.schema
    assert back.metadata == cohort.metadata
    assert back.content_hash() == cohort.content_hash()
    assert list((tmp_path / "new folder").iterdir()) == [tmp_path / "new folder" / "c.parquet"]


def test_what_is_in_it(cohort: Cohort) -> None:
    assert (cohort.n_windows, cohort.n_people, cohort.length) == (4, 3, LENGTH)
    assert cohort.participant_id.tolist() == ["0012", "b", "b", "c"]
    assert cohort.table["window"].to_list() == [0, 0, 1, 0]
    assert cohort.table.columns[:3] == ["participant_id", "window", "start"]
    assert cohort.columns == ["depressed", "age", "sex"]
    np.testing.assert_array_equal(cohort.label("depressed"), [np.nan, 1, 0, 1])
    with pytest.raises(ValueError, match="read-only"):
        cohort.activity[0, 0] = 1


def test_describe_counts_people(cohort: Cohort) -> None:
    text = cohort.describe()
    assert "people: 3, windows: 4 (1 to 2 a person)" in text
    assert f"missing: 10 of {4 * LENGTH} samples" in text
    assert "depressed: 0: 1 people, 1: 2 people; missing: 1 people" in text
    assert "funnel: kept: 4 people" in text


def test_block_reading_covers_every_row(tmp_path: pathlib.Path) -> None:
    activity = np.arange(2500 * 3, dtype=np.float32).reshape(2500, 3)
    Cohort.from_arrays(activity).write(tmp_path / "c.parquet")
    np.testing.assert_array_equal(Cohort.read(tmp_path / "c.parquet").activity, activity)


# What is the same data, and what is not


def test_hash_is_of_the_content_in_any_order(cohort: Cohort) -> None:
    shuffled = cohort.select([2, 0, 3, 1])
    assert shuffled.content_hash() == cohort.content_hash()
    other_types = cohort.with_columns(pl.col("depressed").cast(pl.Float32).fill_null(float("nan")))
    assert other_types.content_hash() == cohort.content_hash()
    signed = cohort.activity.copy()
    signed[0, :5] = -np.float32(np.nan)
    assert Cohort(signed, cohort.table, cohort.metadata).content_hash() == cohort.content_hash()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: Cohort(np.where(np.arange(LENGTH) == 2000, c.activity + 1, c.activity), c.table, c.metadata),
        lambda c: c.with_columns(depressed=1 - pl.col("depressed")),
        lambda c: c.with_columns(age=pl.lit(None, dtype=pl.Float64)),
        lambda c: c.with_columns(sex=pl.lit("m")),
        lambda c: c.with_columns(more=pl.lit(1)),
        lambda c: c.with_columns(start=pl.col("start") + pl.duration(days=1)),
        lambda c: c.with_columns(participant_id=pl.col("participant_id") + "x"),
        lambda c: c.select([0, 1, 2]),
        lambda c: Cohort(c.activity, c.table, {**c.metadata, "unit": "MIMS"}),
    ],
)
def test_hash_sees_every_change(cohort: Cohort, change: Callable[[Cohort], Cohort]) -> None:
    assert change(cohort).content_hash() != cohort.content_hash()


# Parts and wholes


def test_select_filter_and_with_columns(cohort: Cohort) -> None:
    np.testing.assert_array_equal(cohort.select([3, 1]).activity, cohort.activity[[3, 1]])
    assert cohort.select(cohort.label("depressed") == 1).participant_id.tolist() == ["b", "c"]
    kept = cohort.filter(pl.col("depressed") == 1, pl.col("age") > 22)
    assert kept.participant_id.tolist() == ["c"]
    np.testing.assert_array_equal(kept.activity, cohort.activity[[3]])
    assert cohort.with_columns(old=pl.col("age") > 22).label("old").tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.select([4]), "there are 0 to 3"),
        (lambda c: c.select([-1]), "there are 0 to 3"),
        (lambda c: c.select([0, 0]), "2 rows share"),
        (lambda c: c.select([]), "no window"),
        (lambda c: c.select([0.5]), "float64"),
        (lambda c: c.filter(pl.col("age") > 99), "no window"),
        (lambda c: c.filter(pl.col("ages") > 9), "ages"),
        (lambda c: c.with_columns(x=pl.col("nothing")), "nothing"),
        (lambda c: c.with_columns(participant_id=pl.lit(1)), "expected text"),
        (lambda c: c.with_columns(window=pl.lit(-1)), "whole numbers from 0"),
        (lambda c: c.with_columns(window=pl.lit(0)), "2 rows share"),
        (lambda c: c.with_columns(start=pl.col("start").dt.replace_time_zone("UTC")), "time zone"),
        (lambda c: c.with_columns(start=pl.lit("2020")), "time zone"),
        (lambda c: c.with_columns(activity=pl.lit(0)), "the name activity"),
        (lambda c: c.with_columns(nested=pl.concat_list("age")), "nested"),
    ],
)
def test_changes_that_leave_no_cohort(cohort: Cohort, change: Callable[[Cohort], Cohort], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        change(cohort)


def test_concatenate_keeps_everything() -> None:
    first, second = make(["a", "b"], seed=1), make(["c", "d", "d"], seed=2).with_columns(extra=pl.lit(True))
    joined = Cohort.concatenate([first, second])
    np.testing.assert_array_equal(joined.activity, np.concatenate([first.activity, second.activity]))
    assert joined.participant_id.tolist() == ["a", "b", "c", "d", "d"]
    np.testing.assert_array_equal(joined.label("extra"), [np.nan, np.nan, 1, 1, 1])
    assert joined.metadata["source"] == "made" and joined.metadata["unit"] == "counts"
    assert [step["people"] for step in joined.metadata["funnel"]] == [2, 3]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (make(["c", "d"], seed=2, length=1440), r"minutes in a window \(2880, 1440\)"),
        (make(["c", "d"], seed=2, unit="MIMS"), r"unit \(counts, MIMS\)"),
        (make(["c", "b"], seed=2), "2 windows share"),
        (make(["c", "d"], seed=2).with_columns(age=pl.lit("old")), "kind of column age"),
    ],
)
def test_concatenate_refuses_what_differs(second: Cohort, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        Cohort.concatenate([make(["a", "b"], seed=1), second])


def test_concatenate_refuses_counts_of_two_axes() -> None:
    parts = [make([name], seed=seed) for seed, name in enumerate("abc")]
    for part, reading in zip(parts, ({"axis": "vertical"}, {"axis": "vector_magnitude"}, {}), strict=True):
        part.metadata["reading"] = reading
    assert Cohort.concatenate(parts[1:]).n_people == 2  # not every cohort says it
    with pytest.raises(CohortError, match=r"differ in axis \(vertical, vector_magnitude\)"):
        Cohort.concatenate(parts)
    parts[1].metadata["reading"] = {"axis": "vertical", "files": "2"}
    assert axis_of(Cohort.concatenate(parts[:2]).metadata) == "vertical"  # though the rest differs
    assert axis_of(Cohort.concatenate(parts).metadata) is None


def test_concatenate_finds_the_same_people_by_what_they_did() -> None:
    first, other = make(["a", "b", "e"], seed=1), make(["c", "d", "f"], seed=2)
    activity = other.activity.copy()
    activity[1] = first.activity[2]  # d is e
    activity[2, 1440:] = first.activity[1, :1440]  # f shares a day with b, in another place
    second = Cohort(activity, other.table, other.metadata)
    with pytest.raises(CohortError, match="4 participant ids in 2 pairs"):
        Cohort.concatenate([first, second])
    joined = Cohort.concatenate([first, second], same_people="allow")
    assert joined.n_people == 6
    assert joined.same_people() == [("b", "f"), ("e", "d")] and not first.same_people()
    # What was in one cohort before is no reason to refuse another.
    assert Cohort.concatenate([joined, make(["x"], seed=9)]).n_people == 7
    with pytest.raises(CohortError, match="same_people"):
        Cohort.concatenate([first, second], same_people="maybe")


@pytest.mark.parametrize("level", [0, np.nan, 32767], ids=["non-wear", "missing", "stuck"])
def test_days_without_change_make_nobody_the_same(level: float) -> None:
    still = np.full((1, LENGTH), level)
    still[0, 5] = 3
    cohorts = [Cohort.from_arrays(still, participant_id=[name]) for name in ("a", "b")]
    assert Cohort.concatenate(cohorts).n_people == 2


# Bad input


@pytest.mark.parametrize(
    ("activity", "message"),
    [
        ([[1.0, 2.0], [1.0]], "different lengths"),
        (np.array([["1", "2"], ["3", "4"]]), "type <U1"),
        (np.ones(4), r"shape \(4,\)"),
        (np.ones((2, 3, 1)), r"shape \(2, 3, 1\)"),
        (np.ones((0, 3)), "no window"),
        (np.array([[0, 1], [0, np.inf]]), "window 1, minute 1"),
        (np.array([[0, 1e300], [0, 1]]), "window 0, minute 1"),
    ],
)
def test_activity_that_is_none(activity: np.ndarray, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        Cohort.from_arrays(activity)


@pytest.mark.parametrize(
    ("name", "message"),
    [("depresed", "depressed, age, sex"), ("sex", "'m', 'f'"), ("window", "depressed, age, sex"), ("far", "infinite")],
)
def test_labels_that_are_none(cohort: Cohort, name: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        cohort.with_columns(far=pl.col("age") / 0).label(name)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(CohortError, match=r"2 windows of activity but .*3 of label"):
        Cohort.from_arrays(np.ones((2, 3)), labels=[0, 1, 0])
    with pytest.raises(LabelError, match="type <U1"):
        Cohort.from_arrays(np.ones((2, 3)), labels=["a", "b"])  # type: ignore[list-item]
    with pytest.raises(LabelError, match="can't be called"):
        Cohort.from_arrays(np.ones((2, 3)), labels=[0, 1], label="window")
    with pytest.raises(CohortError, match="expected text"):
        Cohort.from_arrays(np.ones((2, 3)), participant_id=[1, 2])  # type: ignore[list-item]
    with pytest.raises(CohortError, match="2 windows of activity, but 1 rows"):
        Cohort(np.ones((2, 3)), pl.DataFrame({"participant_id": ["a"]}))
    with pytest.raises(CohortError, match="no column participant_id"):
        Cohort(np.ones((2, 3)), pl.DataFrame({"id": ["a", "b"]}))
    with pytest.raises(CohortError, match="1 rows have no participant_id"):
        Cohort(np.ones((2, 3)), pl.DataFrame({"participant_id": ["a", None]}))
    with pytest.raises(CohortError, match="JSON"):
        Cohort(np.ones((1, 3)), pl.DataFrame({"participant_id": ["a"]}), {"x": object()})
    with pytest.raises(CohortError, match="epoch_length"):
        Cohort(np.ones((1, 3)), pl.DataFrame({"participant_id": ["a"]}), {"epoch_length": 0})


def test_an_existing_file_stays(tmp_path: pathlib.Path, cohort: Cohort) -> None:
    path = tmp_path / "c.parquet"
    path.write_text("mine")
    with pytest.raises(CohortError, match="already there"):
        cohort.write(path)
    assert path.read_text() == "mine"
    cohort.write(path, overwrite=True)
    assert Cohort.read(path).n_windows == 4


def test_a_failed_write_leaves_the_old_file(
    tmp_path: pathlib.Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort.write(tmp_path / "c.parquet")

    def half_written(self: pl.DataFrame, path: pathlib.Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", half_written)
    with pytest.raises(CohortError, match="no space left"):
        make(["x", "y"]).write(tmp_path / "c.parquet", overwrite=True)
    assert Cohort.read(tmp_path / "c.parquet").n_windows == 4
    assert len(list(tmp_path.iterdir())) == 1


def frame(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"participant_id": ["a", "b"], "activity": [[1.0, 2.0], [3.0, 4.0]], **columns}, strict=False)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame().drop("activity"), "no column activity"),
        (frame().drop("participant_id"), "no column participant_id"),
        (frame(participant_id=[12, 13]), "type Int64, expected text"),
        (frame(activity=[1.0, 2.0]), "type Float64"),
        (frame(activity=[["1"], ["2"]]), "type List"),
        (frame(activity=[[1.0], [1.0, 2.0]]), "from 1 to 2 minutes"),
        (frame(activity=[[1.0], None]), "1 of 2 rows have no activity"),
        (frame(activity=[[1.0, 2.0], [1.0, float("inf")]]), "infinite"),
        (frame(participant_id=["a", "a"], window=[0, 0]), "2 rows share"),
        (frame().head(0), "no window"),
    ],
)
def test_parquet_that_is_no_cohort(tmp_path: pathlib.Path, table: pl.DataFrame, message: str) -> None:
    path = tmp_path / "c.parquet"
    table.write_parquet(path)
    with pytest.raises(CohortError, match=message) as caught:
        Cohort.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_list_column_of_another_program(tmp_path: pathlib.Path) -> None:
    frame(activity=[[1, None], [3, 4]], label=[0, None]).write_parquet(tmp_path / "c.parquet")
    cohort = Cohort.read(tmp_path / "c.parquet")
    np.testing.assert_array_equal(cohort.activity, np.array([[1, np.nan], [3, 4]], np.float32))
    np.testing.assert_array_equal(cohort.label("label"), [0, np.nan])
    assert cohort.metadata == {"source": "unknown", "unit": "unknown", "epoch_length": 60, "synthetic": False}


def test_files_that_are_no_parquet(tmp_path: pathlib.Path, cohort: Cohort) -> None:
    cohort.write(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "text.parquet").write_text("participant_id,activity\n")
    damaged = bytearray(content)
    damaged[200:2000] = bytes(1800)
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    for name in ("cut", "empty", "text", "damaged"):
        with pytest.raises(CohortError, match=f"{name}.parquet: can't be read as Parquet"):
            Cohort.read(tmp_path / f"{name}.parquet")
    with pytest.raises(CohortError, match="no such file"):
        Cohort.read(tmp_path / "none.parquet")
    with pytest.raises(CohortError, match="folder"):
        Cohort.read(tmp_path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [("nonsense", "not those of a cohort"), ('{"format": 99, "metadata": {}}', "newer pat_keras")],
)
def test_metadata_of_another_kind(tmp_path: pathlib.Path, stored: str, message: str) -> None:
    frame().write_parquet(tmp_path / "c.parquet", metadata={"pat_keras": stored})
    with pytest.raises(CohortError, match=message):
        Cohort.read(tmp_path / "c.parquet")


# NumPy files


@pytest.fixture
def arrays(tmp_path: pathlib.Path) -> pathlib.Path:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.poisson(9, (4, 30)).astype(np.float64))
    np.save(tmp_path / "y.npy", np.array([0.0, 1, 1, np.nan]))
    return tmp_path


def test_read_arrays(arrays: pathlib.Path) -> None:
    x = np.load(arrays / "X.npy")
    cohort = read_arrays(arrays / "X.npy", arrays / "y.npy", "depressed")
    np.testing.assert_array_equal(cohort.activity, x)
    assert cohort.activity.dtype == np.float32 and cohort.n_people == 4
    np.testing.assert_array_equal(cohort.label("depressed"), [0, 1, 1, np.nan])

    np.savez_compressed(arrays / "X.npz", X=x.astype(np.uint16), other=np.arange(3))
    np.savez(arrays / "y.npz", whatever=np.array([[0], [1], [1], [0]]))
    np.save(arrays / "ids.npy", np.array(["0012", "0012", "b", "c"]))
    grouped = read_arrays(arrays / "X.npz", arrays / "y.npz", participants_path=arrays / "ids.npy")
    assert grouped.participant_id.tolist() == ["0012", "0012", "b", "c"] and grouped.n_people == 3
    np.save(arrays / "ids.npy", np.array([62161, 62161, 7, 8]))
    assert read_arrays(arrays / "X.npy", participants_path=arrays / "ids.npy").participant_id[0] == "62161"


def test_read_arrays_does_not_follow_the_file(arrays: pathlib.Path) -> None:
    np.save(arrays / "X.npy", np.ones((2, 3), np.float32))
    cohort = read_arrays(arrays / "X.npy")
    with (arrays / "X.npy").open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(9).tobytes())
    assert cohort.activity[1, 2] == 1


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.array([[1, 2], [3, None]], dtype=object), None, CohortError, "pickled"),
        (np.ones(4), None, CohortError, r"shape \(4,\)"),
        (np.ones((4, 30, 1)), None, CohortError, r"shape \(4, 30, 1\)"),
        (np.array([[1.0, np.nan], [1, 2]]), None, CohortError, "1 of 2 rows have NaN"),
        (np.array([[1.0, np.inf], [1, 2]]), None, CohortError, "infinite"),
        (np.ones((4, 30)), np.ones(3), LabelError, r"expected numbers of shape \(4,\)"),
        (np.ones((4, 30)), np.ones((4, 2)), LabelError, r"shape \(4, 2\)"),
        (np.ones((4, 30)), np.array(["a"] * 4), LabelError, "type <U1"),
        (np.ones((4, 30)), np.array([0, 1, np.inf, 0]), LabelError, "1 labels are infinite"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: pathlib.Path, x: np.ndarray, y: np.ndarray | None, error: type[Exception], message: str
) -> None:
    np.save(tmp_path / "X.npy", x)
    if y is not None:
        np.save(tmp_path / "y.npy", y)
    with pytest.raises(error, match=message) as caught:
        read_arrays(tmp_path / "X.npy", None if y is None else tmp_path / "y.npy")
    assert str(tmp_path) in str(caught.value)


def test_files_that_are_no_arrays(arrays: pathlib.Path) -> None:
    (arrays / "text.npy").write_text("1,2,3")
    (arrays / "empty.npy").write_bytes(b"")
    (arrays / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    np.savez(arrays / "two.npz", a=np.ones(2), b=np.ones(2))
    for name, message in {
        "text.npy": "another kind",
        "empty.npy": "can't be read",
        "cut.npz": "can't be read",
        "two.npz": "holds the arrays a, b",
        "none.npy": "no such file",
        "": "folder",
    }.items():
        with pytest.raises(CohortError, match=message):
            read_arrays(arrays / name)
    np.save(arrays / "ids.npy", np.array([0.5, 1.5, 2.5, 3.5]))
    with pytest.raises(CohortError, match=r"ids.npy: has the type float64"):
        read_arrays(arrays / "X.npy", participants_path=arrays / "ids.npy")


def test_pickled_code_never_runs(tmp_path: pathlib.Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return sys.exit, ("ran",)

    np.save(tmp_path / "X.npy", np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(CohortError, match="never loaded"):
        read_arrays(tmp_path / "X.npy")
