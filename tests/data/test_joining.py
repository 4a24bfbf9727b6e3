import datetime

import numpy as np
import pytest

from pat_keras.data.joining import join_recordings
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

MONDAY = datetime.datetime(2024, 1, 1, 8)
MINUTE = datetime.timedelta(minutes=1)


def part(activity, start=MONDAY, *, wear=None, unit="counts", source="a.csv", epoch_length=60):
    return Recording("p", start, epoch_length, np.array(activity, np.float32), unit, source, wear)


def test_parts_in_any_order_are_laid_onto_one_grid():
    worn = np.array([True, False])
    parts = [part([5, 6], MONDAY + 4 * MINUTE, wear=worn, source="b.csv"), part([1, 2], wear=worn)]
    whole = join_recordings(parts)
    np.testing.assert_array_equal(whole.activity, [1, 2, np.nan, np.nan, 5, 6])
    np.testing.assert_array_equal(whole.wear, [True, False, False, False, True, False])
    assert (whole.start, whole.source, whole.participant_id) == (MONDAY, "a.csv, b.csv", "p")
    assert join_recordings([*parts, part([7], MONDAY + 2 * MINUTE)]).wear is None  # one does not tell


def test_parts_may_follow_without_a_hole_and_years_apart():
    assert len(join_recordings([part([1, 2]), part([3], MONDAY + 2 * MINUTE)])) == 3
    assert len(join_recordings([part([1]), part([2], MONDAY.replace(year=2030))])) == 2192 * 1440 + 1


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            part([1, 2, 3], source="b.csv"),
            r"b\.csv: .*overlaps .* a\.csv: both hold 2024-01-01 08:00:00 to .* .2 min",
        ),
        (part([1], MONDAY + MINUTE, source="b.csv"), r"08:01:00 to 2024-01-01 08:02:00 .1 min.*different people"),
        (part([1], MONDAY + 2.5 * MINUTE, source="b.csv"), r"begins at 2024-01-01 08:02:30, .*whole minutes"),
        (part([1], MONDAY + 9 * MINUTE, unit="MIMS", source="b.csv"), r"b\.csv: .*unit is 'MIMS', .* a\.csv 'counts'"),
        (part([1], MONDAY + 9 * MINUTE, epoch_length=30, source="b.csv"), "epoch_length is 30"),
        (part([1], MONDAY.replace(year=1970), source="b.csv"), r"54 years after the end of the one in b\.csv"),
    ],
)
def test_what_is_refused(other, words):
    for parts in ([part([1, 2]), other], [other, part([1, 2])]):
        with pytest.raises(RecordingError, match=words):
            join_recordings(parts)
