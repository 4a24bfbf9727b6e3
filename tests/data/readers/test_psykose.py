import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.data.assembly import assemble
from pat_keras.data.cohort import Cohort
from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.data.readers.psykose import read_psykose
from pat_keras.data.windows import WindowConfig
from pat_keras.errors import CohortError, RecordingError
from tests.data.readers.generate import activity_csv, write_folder, write_zip

INFO = "number,gender,age,days,schtype,migraine,bprs,cloz,trad,moodst,agehosp"
ROW = "patient_1,male,45-49,3,paranoid,schizophrenia not migraine,NA,clozapine,x,not mood stabilizer,22"
DAYS = "id,days\npatient_1,3\ncontrol_1,3\n"


def small():
    recording = activity_csv("2003-05-07 12:00:00", 5 * 1440)
    return {
        "patients_info.csv": f"{INFO}\n{ROW}\n",
        "days.csv": DAYS,
        "README.txt": "",
        "patient/patient_1.csv": recording,
        "control/control_1.csv": recording,
    }


@pytest.mark.parametrize("packed", [True, False])
def test_people_and_trimmed_recordings(tmp_path, packed):
    raw = write_zip(tmp_path / "p.zip", small()) if packed else write_folder(tmp_path / "raw", small())
    study = read_psykose(raw)
    patient, control = study.people.iter_rows(named=True)
    assert patient == {
        "participant_id": "patient_1",
        "schizophrenia": 1,
        "days": 3,
        "age": 47,
        "sex": 0,
        "paranoid": 1,
        "migraine": 0,
        "clozapine": 1,
        "mood_stabilizer": 0,
        "bprs": None,
        "agehosp": 22,
    }
    assert (control["schizophrenia"], control["age"]) == (0, None)
    assert [one.end for one in study.recordings] == [datetime.datetime(2003, 5, 11)] * 2
    assert len(next(iter(read_psykose(raw, trim=False).recordings))) == 5 * 1440


MALFORMED = {
    "no days": (lambda f: f.pop("days.csv"), r"there is no days\.csv"),
    "no row": (lambda f: f.update({"days.csv": DAYS[:20]}), "control_1 has no row in days.csv"),
    "no file": (lambda f: f.pop("control/control_1.csv"), "control_1 has no file"),
    "group": (
        lambda f: f.update({"days.csv": DAYS.replace("control", "healthy")}),
        "line 3: id is 'healthy_1', expected",
    ),
    "twice": (lambda f: f.update({"days.csv": DAYS + "patient_1,3\n"}), "line 4: patient_1 has more than one row"),
    "days text": (
        lambda f: f.update({"days.csv": DAYS.replace("3", "x", 1)}),
        "line 2: days is 'x', expected a number",
    ),
    "no days given": (lambda f: f.update({"days.csv": DAYS.replace("3", "", 1)}), "somebody has no days"),
    "column": (lambda f: f.update({"patients_info.csv": "number,a\nx,y\n"}), "header has no column age, gender"),
    "code": (
        lambda f: f.update({"patients_info.csv": f"{INFO}\n{ROW.replace('male', 'm')}\n"}),
        "line 2: gender is 'm'",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path, case):
    change, message = MALFORMED[case]
    files = small()
    change(files)
    with pytest.raises(RecordingError, match=message) as caught:
        read_psykose(write_folder(tmp_path, files))
    assert str(tmp_path) in str(caught.value)


def test_the_published_files(shared_data):
    made = assemble(read_psykose(shared_data / "psykose.zip"), WindowConfig(), "schizophrenia")
    cohort = made.cohort
    assert (cohort.n_people, cohort.n_windows, made.rejections) == (54, 59, [])
    people = cohort.table.unique("participant_id")
    assert (people["schizophrenia"].sum(), people["sex"].sum(), people["bprs"].null_count()) == (22, 3, 37)
    assert not np.isnan(cohort.activity).any()
    assert cohort.metadata["reading"] == {
        "samples in an hour that the clock showed twice (--doubled_hour=first)": "720"
    }
    depresjon = assemble(read_depresjon(shared_data / "depresjon.zip"), WindowConfig()).cohort
    patients = [person.startswith("patient") for person in cohort.participant_id]
    Cohort.concatenate([depresjon, cohort.select(np.flatnonzero(patients))])
    with pytest.raises(CohortError, match="72 windows share their participant_id"):
        Cohort.concatenate([depresjon, cohort])
    renamed = cohort.with_columns(participant_id="psykose_" + pl.col("participant_id"))
    with pytest.raises(CohortError, match="64 participant ids in 32 pairs share identical days"):
        Cohort.concatenate([depresjon, renamed])
