import datetime
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from pat_keras.data.assembly import assemble
from pat_keras.data.cohort import Cohort
from pat_keras.data.measurement import axis_of
from pat_keras.data.readers.nhanes import read_nhanes
from pat_keras.data.readers.nhanes_labels import RULES, read_labels
from pat_keras.data.readers.study import Rejection
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig
from pat_keras.errors import CohortError, LabelError, RecordingError
from tests.data.readers.generate import change_row, nhanes_tables, paxraw_rows, write_nhanes, write_xpt


@pytest.fixture(scope="module")
def ten_people(tmp_path_factory):
    return write_nhanes(tmp_path_factory.mktemp("nhanes") / "raw")


def items(folder, cycle="D", label=None):
    return list(read_nhanes(folder, cycle, label).recordings)


def test_recordings_are_the_files_rows(ten_people):
    study = read_nhanes(ten_people, "D", "depression")
    recordings = list(study.recordings)
    assert [one.participant_id for one in recordings] == [str(number) for number in range(101, 111)]
    assert study.expected_people == 10
    assert not study.start_is_known
    for one in recordings:
        assert isinstance(one, Recording)
        assert (one.start.isoweekday(), one.start.time()) == (2, datetime.time())  # PAXDAY 3 is a Tuesday
        expected = (np.arange(10080) * 7 + int(one.participant_id)) % 1000
        np.testing.assert_array_equal(one.activity, expected)


def test_hip_counts_are_of_the_vertical_axis(tmp_path):
    """As ActiGraph's are that are prepared like them; cohorts of older versions, which don't say so, go with both."""
    folder = write_nhanes(tmp_path, [paxraw_rows(101, 10080), paxraw_rows(102, 10080)])
    cohort = assemble(read_nhanes(folder, "D"), WindowConfig()).cohort
    assert axis_of(cohort.metadata) == "vertical"
    for axis, words in (("vertical", None), (None, None), ("vector_magnitude", "differ in axis")):
        reading = {} if axis is None else {"axis": axis}
        other = Cohort(
            cohort.activity + 0.5,
            cohort.table.with_columns(participant_id=pl.col("participant_id") + "x"),
            {**cohort.metadata, "reading": reading},
        )
        if words is None:
            assert axis_of(Cohort.concatenate([cohort, other]).metadata) == axis
            continue
        with pytest.raises(CohortError, match=words):
            Cohort.concatenate([cohort, other])


def test_people_across_batches_and_short_numbers(tmp_path):
    """People of odd lengths, so that batches of the reader end within them; numbers in 3 and 4 bytes, as SAS may."""
    lengths = [10080, 1, 9999, 77, 10080, 5000, 10080, 10080, 10080, 10080]
    table = pl.concat([paxraw_rows(seqn, minutes) for seqn, minutes in enumerate(lengths, start=31128)])
    widths = {"PAXSTAT": 3, "PAXCAL": 3, "PAXDAY": 3, "PAXN": 4, "PAXHOUR": 3, "PAXMINUT": 3, "PAXINTEN": 4}
    write_xpt(tmp_path / "PAXRAW_D.xpt", table, storage_widths=widths)
    recordings = items(tmp_path)
    assert [len(one) for one in recordings] == lengths
    np.testing.assert_array_equal(np.concatenate([one.activity for one in recordings]), table["PAXINTEN"].to_numpy())


def test_unreliable_and_uncalibrated_people_are_rejections(tmp_path):
    people = [
        paxraw_rows(1, 100),
        paxraw_rows(2, 100, PAXSTAT=2),
        paxraw_rows(3, 100, PAXCAL=2),
        change_row(paxraw_rows(4, 100), 50, PAXSTAT=2),
        change_row(paxraw_rows(5, 100), 50, PAXCAL=None),
        change_row(paxraw_rows(6, 100), 50, PAXHOUR=23),
    ]
    found = items(write_nhanes(tmp_path, people))
    assert [getattr(one, "reason", "kept").split(" (")[0] for one in found] == [
        "kept",
        "not reliable",
        "device out of calibration",
        "not reliable",
        "device out of calibration",
        "clock",
    ]
    assert isinstance(found[5], Rejection) and found[5].detail == "row 551"


def test_missing_rows_and_counts_are_nan(tmp_path):
    rows = change_row(paxraw_rows(7, 100), 30, PAXINTEN=None)
    late = paxraw_rows(8, 100).tail(60)  # begins at 00:40
    first, second = items(write_nhanes(tmp_path, [rows.filter(~pl.col("PAXN").is_in([11.0, 12.0])), late]))
    assert np.flatnonzero(np.isnan(first.activity)).tolist() == [10, 11, 30]
    assert (second.start.time(), len(second)) == (datetime.time(0, 40), 60)


def test_zeros_that_became_tiny_numbers_are_zeros(tmp_path):
    rows = paxraw_rows(7, 100, PAXINTEN=5.397605346934028e-79)
    rows = rows.with_columns(
        pl.when(pl.col("PAXHOUR") == 0).then(5.4e-79).otherwise(pl.col("PAXHOUR")).alias("PAXHOUR")
    )
    (one,) = items(write_nhanes(tmp_path, [rows]))
    assert (one.activity == 0).all()


def test_cycle_c_has_no_questionnaires_of_d(tmp_path):
    study = read_nhanes(write_nhanes(tmp_path, [paxraw_rows(101, 100)], cycle="C"), "C", "sex")
    assert study.name == "NHANES 2003-2004" and "2003-2004" in study.citation
    assert study.people.columns == [
        "participant_id",
        "age",
        "age_over_60",
        "sex",
        "benzodiazepine",
        "ssri",
        "bmi",
        "bmi_30",
    ]
    assert len(list(study.recordings)) == 1


MALFORMED_ROWS = {
    "doubled": ([change_row(paxraw_rows(7, 50), 20, PAXN=20)], "row 21: PAXN 20 of SEQN 7 comes twice"),
    "unsorted": ([paxraw_rows(7, 50).reverse()], "row 2: PAXN 49 of SEQN 7 comes after 50"),
    "scattered": (
        [paxraw_rows(7, 50), paxraw_rows(8, 50), paxraw_rows(7, 50)],
        "row 101: SEQN 7 is back after rows of others; its first row is 1",
    ),
    "too many": ([paxraw_rows(7), paxraw_rows(7), paxraw_rows(8)], "row 1.*: (SEQN 7 has more than|PAXN 1 of SEQN 7)"),
    "count": ([change_row(paxraw_rows(7, 50), 3, PAXINTEN=32768)], "row 4: PAXINTEN is 32768, expected .* 0 to 32767"),
    "negative": ([change_row(paxraw_rows(7, 50), 3, PAXINTEN=-1)], "row 4: PAXINTEN is -1"),
    "fraction": ([change_row(paxraw_rows(7, 50), 3, PAXINTEN=0.5)], "row 4: PAXINTEN is 0.5, expected a whole number"),
    "day": ([change_row(paxraw_rows(7, 50), 3, PAXDAY=8)], "row 4: PAXDAY is 8, expected a whole number from 1 to 7"),
    "hour": ([change_row(paxraw_rows(7, 50), 3, PAXHOUR=24)], "row 4: PAXHOUR is 24"),
    "status": ([change_row(paxraw_rows(7, 50), 3, PAXSTAT=3)], "row 4: PAXSTAT is 3"),
    "no id": ([change_row(paxraw_rows(7, 50), 0, SEQN=None)], "row 1: SEQN is missing"),
    "no number": ([change_row(paxraw_rows(7, 50), 3, PAXN=None)], "row 4: PAXN is missing"),
}


@pytest.mark.parametrize("case", MALFORMED_ROWS)
def test_malformed_rows(tmp_path, case):
    people, message = MALFORMED_ROWS[case]
    with pytest.raises(RecordingError, match=message) as caught:
        items(write_nhanes(tmp_path, people))
    assert "PAXRAW_D.xpt" in str(caught.value)


def cut_file(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


MALFORMED_FILES = {
    "page": (
        lambda path: path.write_text("<html>not found</html>"),
        "not a SAS transport file: it begins with b'<html>",
    ),
    "empty": (lambda path: path.write_bytes(b""), "not a SAS transport file"),
    "cut in a row": (lambda path: cut_file(path, 2001), "cut short: its 2,001 bytes"),
    "cut in the header": (lambda path: cut_file(path, 480), "the header can't be read"),
    "absent": (lambda path: path.unlink(), r"there is no PAXRAW_D\.xpt in it; found BMX_D\.xpt.*unzip it"),
    "other file": (
        lambda path: write_xpt(path, nhanes_tables()["BMX"]),
        r"there is no column PAXSTAT, .*; found SEQN, BMXBMI",
    ),
    "text": (
        lambda path: write_xpt(path, paxraw_rows(7, 9).with_columns(pl.col("PAXINTEN").cast(pl.String))),
        "column PAXINTEN holds text",
    ),
    "two": (lambda path: path.with_name("paxraw_d.XPT").write_bytes(b""), "are both there"),
}


@pytest.mark.parametrize("case", MALFORMED_FILES)
def test_malformed_files(tmp_path, case):
    change, message = MALFORMED_FILES[case]
    folder = write_nhanes(tmp_path, [paxraw_rows(7, 100)])
    change(folder / "PAXRAW_D.xpt")
    with pytest.raises(RecordingError, match=message):
        items(folder)


def test_wrong_folder_and_cycle(tmp_path):
    with pytest.raises(RecordingError, match="no such folder"):
        read_nhanes(tmp_path / "nowhere", "D")
    with pytest.raises(RecordingError, match="cycle is 'E', expected one of C, D, G, H"):
        read_nhanes(tmp_path, "E")


def test_file_names_in_any_case(tmp_path):
    folder = write_nhanes(tmp_path, [paxraw_rows(7, 100)])
    (folder / "PAXRAW_D.xpt").rename(folder / "paxraw_d.XPT")
    assert len(items(folder)) == 1


LABELS = {  # of people 101 to 110
    "age": [40, 50, 30, 20, 60, 17, 18, 85, 33, 44],
    "age_over_60": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    "sex": [0, 1] * 5,
    "phq9": [0, 10, 9, None, None, None, 0, 0, None, None],
    "depression": [0, 1, 0, None, None, None, 0, 0, None, None],
    "sleep_disorder": [1, 0, None, None, None, 0, 0, 0, None, 0],
    "sleep_abnormality": [1, 0, None, 1, 1, None, 1, None, None, 0],
    "benzodiazepine": [1, 0, 1, None, 0, None, 0, 0, None, 1],
    "ssri": [0, 0, 1, None, 1, None, 0, 0, None, None],
    "bmi": [29.9, 30, 45, None, 20, 31, 30.1, 25, 25, 25],
    "bmi_30": [0, 1, 1, None, 0, None, 1, 0, 0, 0],
}


@pytest.mark.parametrize("label", LABELS)
def test_labels(ten_people, label):
    people, meanings = read_labels(ten_people, "D", label)
    assert people["participant_id"].to_list() == [str(number) for number in range(101, 111)]
    assert people[label].to_list() == pytest.approx(LABELS[label], nan_ok=True)
    assert meanings[label] == RULES[label].meaning + ("; 85 is 85 and older" if label == "age" else "")


@pytest.mark.parametrize(("uses", "drug", "value"), [(1, "", None), (None, "", None), (2, "", 0), (9, "", None)])
def test_a_medicine_that_nobody_knows_is_not_one_that_is_not_taken(tmp_path, uses, drug, value):
    schema = {"SEQN": pl.Float64, "RXDUSE": pl.Float64, "RXDDRUG": pl.String}
    rows = [(101.0, uses, drug), (102.0, 1.0, "LORAZEPAM")]
    write_xpt(tmp_path / "RXQ_RX_D.xpt", pl.DataFrame(rows, schema, orient="row"))
    assert read_labels(tmp_path, "D", None)[0]["benzodiazepine"].to_list() == [value, 1]


def test_every_rule_is_tested():
    assert set(LABELS) == set(RULES)


def test_labels_whose_files_are_not_there_are_left_out(tmp_path):
    folder = write_nhanes(tmp_path, [paxraw_rows(101, 100)], without=["SLQ", "DEMO", "RXQ_RX"])
    people, _ = read_labels(folder, "D", None)
    assert people.columns == ["participant_id", "bmi"]  # the others need the file, or the age


@pytest.mark.parametrize(
    ("cycle", "without", "label", "message"),
    [
        ("D", "DPQ", "depression", r"the label depression needs DPQ_D\.xpt, which is not there"),
        ("D", "DEMO", "depression", r"the label depression needs DEMO_D\.xpt"),
        ("D", "BMX", "bmi_30", r"needs BMX_D\.xpt"),
        ("D", "", "depressed", "no rule for the label 'depressed', expected one of age, age_over_60"),
        ("C", "", "depression", "NHANES 2003-2004: depression can't be had, since this cycle has no DPQ file"),
    ],
)
def test_labels_that_cannot_be_had(tmp_path, cycle, without, label, message):
    folder = write_nhanes(tmp_path, [paxraw_rows(101, 100)], cycle, without=[without])
    with pytest.raises(LabelError, match=message):
        read_nhanes(folder, cycle, label)


def test_reasons_of_missing_labels(ten_people):
    reason = read_nhanes(ten_people, "D", "depression").missing_label
    assert reason("depression", "106") == "no depression: younger than 18 years"
    assert reason("depression", "104") == "no depression: no PHQ-9, or not complete"
    assert reason("depression", "999") == "no age in DEMO"
    assert reason("sleep_disorder", "106") == "no sleep_disorder: SLQ060 not answered"


@pytest.mark.parametrize(
    ("stem", "column", "value", "message"),
    [
        ("DPQ", "DPQ030", 4.0, r"DPQ_D\.xpt: DPQ030 of SEQN 101 is 4, a code .* expected one of 0, 1, 2, 3, 7, 9"),
        ("DEMO", "RIAGENDR", 0.0, "RIAGENDR of SEQN 101 is 0"),
        ("SLQ", "SLD010H", 25.0, "SLD010H of SEQN 101 is 25"),
        ("DPQ", "SEQN", 102.0, "SEQN 102 is there more than once"),
        ("DPQ", "SEQN", None, "SEQN is missing or no whole number"),
    ],
)
def test_codes_that_no_codebook_has(tmp_path, stem, column, value, message):
    folder = write_nhanes(tmp_path, [paxraw_rows(101, 100)])
    write_xpt(folder / f"{stem}_D.xpt", change_row(nhanes_tables()[stem], 0, **{column: value}))
    with pytest.raises(LabelError, match=message):
        read_nhanes(folder, "D", "depression")


def test_tiny_zeros_in_labels(tmp_path):
    folder = write_nhanes(tmp_path, [paxraw_rows(101, 100)])
    table = nhanes_tables()["DPQ"]
    items_of_phq9 = [column for column in table.columns if column != "SEQN"]
    tiny = table.with_columns(
        pl.when(pl.col(c) == 0).then(5.4e-79).otherwise(pl.col(c)).alias(c) for c in items_of_phq9
    )
    write_xpt(folder / "DPQ_D.xpt", tiny)
    assert read_labels(folder, "D", "depression")[0]["phq9"].to_list() == LABELS["phq9"]


PHQ9_FREQUENCIES = {  # NHANES 2005-2006, codes 0, 1, 2, 3, as in the codebook of DPQ_D
    "DPQ010": [2861, 488, 151, 91],
    "DPQ090": [3474, 90, 26, 8],
}


def test_the_published_questionnaires(shared_data):
    folder = shared_data / "nhanes_2005_2006"
    people, _ = read_labels(folder, "D", "depression")
    import polars_readstat

    raw = polars_readstat.read_readstat(str(folder / "DPQ_D.xpt"))
    for item, frequencies in PHQ9_FREQUENCIES.items():
        assert [int((raw[item] == code).sum()) for code in range(4)] == frequencies
    # The same rule, written as a loop over people.
    age = dict(people.select("participant_id", "age").iter_rows())
    expected = {}
    for row in raw.drop("DPQ100").iter_rows():
        if age[f"{row[0]:.0f}"] >= 18 and all(answer is not None and answer <= 3 for answer in row[1:]):
            expected[f"{row[0]:.0f}"] = float(sum(row[1:]) >= 10)
    found = dict(people.drop_nulls("depression").select("participant_id", "depression").iter_rows())
    assert found == expected


def write_real(folder, shared_data, people):
    """PAXRAW_D.xpt of the first people, by the tool that lies beside the data."""
    tool = shared_data.parent / "tools" / "write_paxraw_xpt.py"
    pytest.importorskip("pyreadstat", reason="the tool that writes PAXRAW_D.xpt needs it")
    arguments = ["--people", str(people), "--out", str(folder / "PAXRAW_D.xpt")]
    subprocess.run([sys.executable, str(tool), *arguments], check=True)


def test_real_recordings_come_back_as_they_are(shared_data, tmp_path):
    write_real(tmp_path, shared_data, 40)
    arrays = np.load(shared_data / "nhanes_2005_2006" / "paxraw_d.npz")
    seqn, good = arrays["seqn"][:40], (arrays["paxstat"][:40] == 1) & (arrays["paxcal"][:40] == 1)
    found = items(tmp_path)
    assert [one.participant_id for one in found] == [str(number) for number in seqn]
    assert [isinstance(one, Recording) for one in found] == good.tolist()
    counts = arrays["paxinten"][:40]
    for at in np.flatnonzero(good):
        np.testing.assert_array_equal(found[at].activity, counts[at, : arrays["n_minutes"][at]])
        assert found[at].start.isoweekday() % 7 + 1 == arrays["start_paxday"][at]
