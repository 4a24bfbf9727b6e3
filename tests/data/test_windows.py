import collections
import datetime
import itertools
import pathlib
import re
import zipfile

import numpy as np
import pytest

from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig, cut_windows, fill_clock_change, minutes_to_midnight
from pat_keras.errors import ConfigError, RecordingError

NOON = datetime.datetime(2003, 5, 7, 12, 0)


def recording(days, start=NOON, epoch_length=60):
    activity = np.arange(round(days * 1440), dtype=np.float32) + 1
    return Recording("p", start, epoch_length, activity, "counts", "a.csv")


def with_activity(made, activity):
    return Recording(made.participant_id, made.start, 60, activity, made.unit, made.source)


def test_from_midnight_and_from_the_first_sample():
    made = recording(15.5)
    at_midnight = cut_windows(made, WindowConfig())
    assert at_midnight.activity.shape == (2, 10080)
    assert at_midnight.activity.dtype == np.float32
    assert at_midnight.starts == [datetime.datetime(2003, 5, 8), datetime.datetime(2003, 5, 15)]
    assert at_midnight.activity[:, 0].tolist() == [721, 721 + 10080]
    at_once = cut_windows(made, WindowConfig(start="first_sample"))
    assert at_once.starts == [NOON, NOON + datetime.timedelta(days=7)]
    assert at_once.activity[0, 0] == 1


def test_step_length_and_number_of_windows():
    made = recording(9.5)
    assert len(cut_windows(made, WindowConfig(step_days=1)).starts) == 3
    assert len(cut_windows(made, WindowConfig(step_days=1, max_windows=2)).starts) == 2
    assert cut_windows(made, WindowConfig(days=1)).activity.shape == (9, 1440)


def test_too_short_says_so():
    windows = cut_windows(recording(7.25), WindowConfig())
    assert windows.activity.shape == (0, 10080)
    assert windows.reason == "recorded for fewer than 7 whole days from midnight"
    assert cut_windows(recording(6.9), WindowConfig(start="first_sample")).reason == "recorded for fewer than 7 days"
    assert cut_windows(recording(7.5), WindowConfig()).reason == ""


def test_a_missing_minute_refuses_the_window_and_the_next_days_are_tried():
    made = recording(10.5)
    activity = made.activity.copy()
    activity[720 + 1440 + 5] = np.nan  # on the second whole day
    windows = cut_windows(with_activity(made, activity), WindowConfig())
    assert windows.starts == [datetime.datetime(2003, 5, 10)]
    assert windows.passed_over == {"some minutes missing in every window of 7 days": 2}
    assert windows.reason == ""
    activity[720 + 5 * 1440] = np.nan
    windows = cut_windows(with_activity(made, activity), WindowConfig())
    assert windows.reason == "some minutes missing in every window of 7 days"


def test_allowed_missing_minutes_stay_missing():
    made = recording(7.5)
    activity = made.activity.copy()
    activity[1000:2008] = np.nan  # a tenth of the window
    windows = cut_windows(with_activity(made, activity), WindowConfig(max_missing=0.1))
    assert int(np.isnan(windows.activity).sum()) == 1008
    refused = cut_windows(with_activity(made, activity), WindowConfig(max_missing=0.099))
    assert refused.reason == "more than 10% of the minutes missing in every window of 7 days"


def test_a_device_in_a_drawer_is_refused_unless_wanted():
    drawer = with_activity(recording(8), np.zeros(8 * 1440))
    assert cut_windows(drawer, WindowConfig()).reason == "only zeros in every window of 7 days"
    assert len(cut_windows(drawer, WindowConfig(min_moving_minutes=0)).starts) == 1
    once = np.zeros(8 * 1440)
    once[2000] = 3
    assert len(cut_windows(with_activity(drawer, once), WindowConfig()).starts) == 1
    assert (
        "fewer than 2 moving minutes"
        in cut_windows(with_activity(drawer, once), WindowConfig(min_moving_minutes=2)).reason
    )


def clock_change_week(missing=slice(120, 180)):
    """Eight days from Monday 2003-03-24, minutes of Sunday 30th missing; counts are the minute of the day."""
    activity = np.tile(np.arange(1440, dtype=np.float32), 8)
    activity[6 * 1440 + missing.start : 6 * 1440 + missing.stop] = np.nan
    return Recording("p", datetime.datetime(2003, 3, 24), 60, activity, "counts", "a.csv")


def test_the_hour_of_a_clock_change_is_filled_from_other_days_and_counted():
    made = clock_change_week()
    windows = cut_windows(made, WindowConfig())
    np.testing.assert_array_equal(windows.activity[0], np.tile(np.arange(1440, dtype=np.float32), 7))
    assert windows.filled_minutes == 60
    refused = cut_windows(made, WindowConfig(fill_gaps="none"))
    assert refused.starts == [] and refused.filled_minutes == 0
    assert made.n_missing == 60  # the recording itself is as it was


@pytest.mark.parametrize("missing", [slice(120, 179), slice(121, 181), slice(120, 240), slice(720, 780)])
def test_other_gaps_are_never_filled(missing):
    made = clock_change_week(missing)
    activity, filled = fill_clock_change(made)
    assert not filled.any()
    np.testing.assert_array_equal(activity, made.activity)


def test_an_hour_missing_on_another_day_or_without_other_days_is_not_filled():
    made = clock_change_week()
    later = Recording("p", made.start + datetime.timedelta(days=1), 60, made.activity, "counts", "a.csv")
    assert not fill_clock_change(later)[1].any()
    summer = Recording("p", datetime.datetime(2003, 6, 23), 60, made.activity, "counts", "a.csv")
    assert not fill_clock_change(summer)[1].any()
    single = made.slice(6 * 1440, 7 * 1440)
    assert not fill_clock_change(single)[1].any()
    assert np.isnan(fill_clock_change(single)[0]).sum() == 60


@pytest.mark.parametrize(
    ("time", "minutes"),
    [((0, 0, 0), 0), ((0, 1, 0), 1439), ((23, 59, 0), 1), ((12, 0, 0), 720), ((23, 59, 30), 1), ((0, 0, 30), 0)],
)
def test_minutes_to_midnight(time, minutes):
    assert minutes_to_midnight(datetime.datetime(2003, 5, 7, *time)) == minutes


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"days": 0}, "days is 0, expected a whole number, 1 or more"),
        ({"days": 1.5}, "days is 1.5"),
        ({"step_days": 0}, "step_days is 0"),
        ({"max_windows": -1}, "max_windows is -1"),
        ({"start": "noon"}, "expected one of midnight, first_sample"),
        ({"fill_gaps": "zero"}, "expected one of clock_change, none"),
        ({"max_missing": 1.0}, "expected a share"),
        ({"min_moving_minutes": -1}, "0 or more"),
        ({"choice": "worst"}, "expected one of first, best"),
        ({"nonwear": "sleep"}, "expected one of none, device, troiano, choi"),
        ({"min_worn_minutes": 1441}, "a day has 1440"),
        ({"min_worn_minutes": 600, "min_valid_days": 8}, "min_valid_days is 8, but a window has days=7"),
        ({"min_valid_days": 4}, "min_valid_days needs min_worn_minutes"),
        ({"choice": "best"}, "choice=best needs max_windows"),
    ],
)
def test_settings_that_make_no_window(setting, message):
    with pytest.raises(ConfigError, match=message):
        WindowConfig(**setting)


def hours_worn(*hours, start=datetime.datetime(2024, 1, 1), **settings):
    """Days of counts from midnight, worn for the first so many hours of each, then zeros (which are no spike)."""
    activity = np.concatenate([np.where(np.arange(1440) < 60 * worn, 200, 0) for worn in hours])
    wear = activity > 0 if settings.pop("device", False) else None
    return Recording("p", start, 60, activity, settings.pop("unit", "counts"), "a.csv", wear)


@pytest.mark.parametrize("nonwear", ["device", "troiano", "choi"])
def test_nonwear_becomes_missing_and_never_zero(nonwear):
    made = hours_worn(16, 10, 20, device=True)
    windows = cut_windows(made, WindowConfig(days=3, nonwear=nonwear))
    worn = made.activity > 0
    np.testing.assert_array_equal(np.isnan(windows.activity[0]), ~worn)
    np.testing.assert_array_equal(windows.activity[0][worn], made.activity[worn])
    np.testing.assert_array_equal(windows.nonwear, ~worn)
    kept = cut_windows(made, WindowConfig(days=3))
    np.testing.assert_array_equal(kept.activity[0], made.activity)
    assert not kept.nonwear.any()


def test_nonwear_is_no_missing_share_and_gaps_are_no_nonwear():
    made = hours_worn(16, 10, 20)
    activity = made.activity.copy()
    activity[100:110] = np.nan
    torn = with_activity(made, activity)
    assert cut_windows(torn, WindowConfig(days=3, nonwear="choi")).reason.startswith("some minutes missing")
    windows = cut_windows(torn, WindowConfig(days=3, nonwear="choi", max_missing=0.01))
    assert int(np.isnan(windows.activity).sum()) == 10 + int((made.activity == 0).sum())
    assert int(windows.nonwear.sum()) == int((made.activity == 0).sum())


def test_nonwear_over_midnight_is_found_before_windows_are_cut():
    made = hours_worn(23.5, 10, 10)
    activity = np.roll(made.activity, 60)  # zeros for half an hour after one midnight, and for hours over the next
    windows = cut_windows(with_activity(made, activity), WindowConfig(days=1, nonwear="choi"))
    second_day = windows.activity[1]
    assert np.isnan(second_day[:60]).sum() == 0 and np.isnan(windows.activity[2][:60]).all()


def test_valid_days_of_worn_minutes():
    made = hours_worn(16, 9, 10, 2, 10, 10, 10)

    def reason(**settings):
        return cut_windows(made, WindowConfig(nonwear="choi", min_worn_minutes=600, **settings)).reason

    assert reason(min_valid_days=5) == ""
    assert reason(min_valid_days=6) == "fewer than 6 days with 600 worn minutes in every window of 7 days"
    assert reason() == "fewer than 7 days with 600 worn minutes in every window of 7 days"
    assert reason(days=1) == ""
    assert cut_windows(made, WindowConfig(min_worn_minutes=600)).reason == ""  # without non-wear, zeros are worn


def test_never_worn():
    drawer = hours_worn(0, 0)
    assert cut_windows(drawer, WindowConfig(days=2, nonwear="choi")).reason == (
        "never worn, or only zeros, in every window of 2 days"
    )
    wanted = cut_windows(drawer, WindowConfig(days=2, nonwear="choi", min_moving_minutes=0))
    assert np.isnan(wanted.activity).all() and len(wanted.activity) == 1


def days_of(windows):
    return [start.day for start in windows.starts]


def test_the_best_windows_have_most_worn_minutes():
    made = hours_worn(5, 20, 20, 5, 12, 12, 5, 20)
    best = {"days": 2, "nonwear": "choi", "choice": "best"}
    assert days_of(cut_windows(made, WindowConfig(**best, max_windows=1))) == [2]  # the 2nd and 3rd of January
    windows = cut_windows(made, WindowConfig(**best, max_windows=2))
    assert days_of(windows) == [2, 7]  # not the 3rd, which overlaps; 7th and 8th before 5th and 6th
    assert windows.passed_over == {"more windows than 2 of a person": 1}
    assert days_of(cut_windows(made, WindowConfig(**best, max_windows=3))) == [2, 5, 7]
    assert days_of(cut_windows(made, WindowConfig(**best, max_windows=2, step_days=1))) == [1, 2]
    first = cut_windows(made, WindowConfig(**{**best, "choice": "first"}, max_windows=2))
    assert days_of(first) == [1, 3]
    assert first.passed_over == {"more windows than 2 of a person": 2}
    # Of windows that are worn alike, the earliest.
    assert days_of(cut_windows(recording(9.5), WindowConfig(choice="best", max_windows=1))) == [8]


def test_the_filled_hour_is_worn_if_the_minute_before_it_was():
    made = clock_change_week()
    wear = ~np.isnan(made.activity)  # as a reader has it: what was not recorded was not worn
    for worn_before in (True, False):
        wear[6 * 1440 + 119] = worn_before
        device = Recording("p", made.start, 60, made.activity, "counts", "a.csv", wear)
        hour = cut_windows(device, WindowConfig(nonwear="device")).activity[0][6 * 1440 + 120 : 6 * 1440 + 180]
        assert np.isnan(hour).all() != worn_before
    assert device.wear[6 * 1440 + 120 : 6 * 1440 + 180].sum() == 0


def test_other_epochs_are_refused():
    with pytest.raises(RecordingError, match=r"a\.csv: the epochs of p last 30 s, expected 60 s"):
        cut_windows(recording(8, epoch_length=30), WindowConfig())


def longest_unbroken(made):
    """The longest part of a recording without a missing minute, found one sample after the other."""
    runs, position = [], 0
    for present, samples in itertools.groupby(~np.isnan(made.activity)):
        length = len(list(samples))
        runs.append((length if present else 0, position))
        position += length
    length, first = max(runs)
    return made.slice(first, first + length)


def test_depresjon_weeks_agree_with_an_independent_count(shared_data):
    recordings = list(read_depresjon(shared_data / "depresjon.zip", trim=False).recordings)
    assert len(recordings) == 55

    def weeks(recordings, **settings):
        return sum(len(cut_windows(made, WindowConfig(**settings)).starts) for made in recordings)

    # Counted elsewhere, by whole calendar days in a row without a missing minute: 127 weeks.
    assert weeks([longest_unbroken(made) for made in recordings]) == 127
    # Five controls miss one hour: with the parts before and after it, 132; with the hour filled, 137.
    assert weeks(recordings, fill_gaps="none") == 132
    assert weeks(recordings) == 137


def complete_weeks(lines):
    """Weeks of whole calendar days in a row, by the texts of a published file alone."""
    days = collections.Counter(line.split(",")[0][:10] for line in lines)
    whole = sorted(datetime.date.fromisoformat(day) for day, minutes in days.items() if minutes == 1440)
    in_a_row = [day.toordinal() - number for number, day in enumerate(whole)]
    return sum(len(list(days)) // 7 for _, days in itertools.groupby(in_a_row))


def test_depresjon_weeks_of_each_person_agree_with_an_independent_count(shared_data):
    with zipfile.ZipFile(shared_data / "depresjon.zip") as archive:
        names = [name for name in archive.namelist() if re.search(r"(condition|control)_\d+\.csv$", name)]
        expected = {
            pathlib.PurePath(name).stem: complete_weeks(archive.read(name).decode().split()[1:]) for name in names
        }
    config = WindowConfig(fill_gaps="none", min_moving_minutes=0)
    found = {
        made.participant_id: len(cut_windows(made, config).starts)
        for made in read_depresjon(shared_data / "depresjon.zip", trim=False).recordings
    }
    assert len(found) == 55
    assert found == expected
    assert sum(found.values()) == 132


def test_depresjon_keeps_54_of_55_people(shared_data):
    windows = [cut_windows(made, WindowConfig()) for made in read_depresjon(shared_data / "depresjon.zip").recordings]
    assert sum(len(one.starts) for one in windows) == 65
    assert [one.reason for one in windows if one.reason] == ["recorded for fewer than 7 whole days from midnight"]
    assert sum(one.filled_minutes for one in windows) == 60
