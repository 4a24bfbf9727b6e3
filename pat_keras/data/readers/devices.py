"""The devices whose files can be read, in one table: `pat-prepare --source=NAME --raw=...`.

Nothing heavy is imported before a file is read, so that the table can stand in the help of a command.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Device:
    """How files of one kind are read.

    Attributes:
        title: of the device or program, with the kind of file.
        patterns: names of its files in a folder or zip.
        reader: "module:function" in `pat_keras.data.readers`; gets a file and the options, gives recordings.
        unit: of the activity.
        options: names of what the reader lets a user choose.
        library: that reads it; "" for none but the standard library, NumPy and polars.
        tested_on: the real files that the tests read, and where they were published.
        start_is_known: False where the source withholds its dates.
        names_people: whether people are called as their files or folders are; False where a column has their ids.
    """

    title: str
    patterns: tuple[str, ...]
    reader: str
    unit: str
    options: tuple[str, ...] = ()
    library: str = ""
    tested_on: str = ""
    start_is_known: bool = True
    names_people: bool = True


@dataclasses.dataclass(frozen=True)
class Option:
    """What a user may choose for some devices.

    Attributes:
        default: used where nothing is chosen; None leaves it to the reader, which finds out or says what it needs.
        choices: its values; empty for any text.
        meaning: for the help.
    """

    default: str | None
    choices: tuple[str, ...]
    meaning: str


OPTIONS: dict[str, Option] = {
    "axis": Option(
        "vertical",
        ("vertical", "vector_magnitude"),
        "vertical: axis 1 alone, as NHANES 2003-2006 has it. vector_magnitude: the root of the sum of the squares of "
        "the minute's three axes.",
    ),
    "measure": Option(
        "PIM",
        ("PIM", "TAT", "ZCM"),
        "Area under the signal, time above a threshold, or crossings of zero; also the unit.",
    ),
    "date_order": Option(
        None,
        ("day_first", "month_first", "year_first"),
        "Of dates such as 4/7/2015 or 15-04-07, where the file does not tell; by default it is read off the dates.",
    ),
    "gmt_to": Option(None, (), "Zone where the device was worn, such as Europe/Berlin, if its times are in GMT."),
    "recorded_by": Option(None, (), "Name of the phone or watch whose steps are read, if there are several."),
    "idle": Option(
        "missing",
        ("missing", "still"),
        "Holes of ActiGraph's idle sleep mode. missing: they stay missing. still: the last sample goes on, as in "
        "ActiLife.",
    ),
}

DEVICES: dict[str, Device] = {
    "actigraph": Device(
        "ActiGraph counts, text export of ActiLife",
        ("*.csv", "*.csv.gz", "*.dat"),
        "actigraph:read_actigraph_csv",
        "counts",
        ("axis", "date_order"),
        tested_on="ActiGraph13.csv, ActiGraph13_timestamps_headers.csv, ActiGraph61.csv (GGIR); "
        "GT3XPlus-RawData-Day01.csv, ActiSleepPlus-RawData-Day01.csv (actigraph.sleepr); 721431sec.csv.gz "
        "(SummarizedActigraphy)",
    ),
    "actigraph_agd": Device(
        "ActiGraph counts, .agd database of ActiLife",
        ("*.agd",),
        "actigraph_agd:read_agd",
        "counts",
        ("axis",),
        tested_on="GT3XPlus-RawData-Day01.agd, ActiSleepPlus-RawData-Day01.agd (actigraph.sleepr); test_sample.agd "
        "(pyActigraphy)",
    ),
    "actiwatch": Device(
        "Actiwatch .AWD (4, 7, L, LP, S, T, Insomnia, Mini)",
        ("*.awd",),
        "actiwatch:read_awd",
        "counts",
        tested_on="Actiwatch.AWD (GGIR); 15 .AWD files (pyActigraphy)",
    ),
    "actiware": Device(
        "Philips Actiware export, in English, French, German or Dutch",
        ("*.csv",),
        "actiware:read_actiware",
        "counts",
        ("date_order",),
        tested_on="test_sample.csv, test_sample_rpx_{eng,fr,ger_no_light,ger_with_light}.csv (pyActigraphy); "
        "Actiwatch.csv (GGIR)",
    ),
    "motionwatch": Device(
        "CamNtech MotionWatch .mtn",
        ("*.mtn",),
        "motionwatch:read_mtn",
        "counts",
        tested_on="test_sample.mtn (pyActigraphy)",
    ),
    "condor": Device(
        "Condor ActTrust and ActLumus .txt",
        ("*.txt",),
        "condor:read_condor",
        "PIM",
        ("measure", "date_order"),
        tested_on="test_sample_atr.txt (pyActigraphy); 205_actlumus_Log_1020_20230904101707532.txt.zip (LightLogR)",
    ),
    "daqtometer": Device(
        "Daqtix Daqtometer .csv",
        ("*.csv",),
        "daqtometer:read_daqtometer",
        "counts",
        ("gmt_to",),
        tested_on="test_sample_dqt.csv (pyActigraphy)",
    ),
    "tempatilumi": Device(
        "CE Brasil Tempatilumi .txt",
        ("*.txt",),
        "tempatilumi:read_tempatilumi",
        "counts",
        ("date_order",),
        tested_on="test_sample_tal.txt (pyActigraphy)",
    ),
    "mesa": Device(
        "MESA Sleep actigraphy .csv (National Sleep Research Resource)",
        ("*.csv",),
        "mesa:read_mesa",
        "counts",
        tested_on="test_sample_mesa.csv (pyActigraphy; its four epochs are made up)",
        start_is_known=False,
        names_people=False,
    ),
    "fitbit_steps": Device(
        "Fitbit steps a minute, Fitabase export, narrow or wide",
        ("*minuteSteps*.csv",),
        "fitbit:read_fitbit_steps",
        "steps",
        ("date_order",),
        tested_on="minuteStepsWide_merged.csv (33 people; narrow: generated files)",
        names_people=False,
    ),
    "fitbit_intensity": Device(
        "Fitbit intensity (0-3) a minute, Fitabase export, narrow or wide",
        ("*minuteIntensit*.csv",),
        "fitbit:read_fitbit_intensity",
        "intensity",
        ("date_order",),
        tested_on="minuteIntensitiesWide_merged.csv (33 people; narrow: generated files)",
        names_people=False,
    ),
    "apple_health": Device(
        "Apple Health export.xml: steps",
        ("export.xml",),
        "apple_health:read_apple_health",
        "steps",
        ("recorded_by",),
        tested_on="generated files only",
    ),
    "raw_acceleration": Device(
        "Raw acceleration .gt3x (wGT3X-BT), GENEActiv .bin, Axivity .cwa: mean ENMO a minute, mg, not calibrated",
        ("*.gt3x", "*.bin", "*.cwa"),
        "raw_acceleration:read_raw_acceleration",
        "ENMO",
        ("idle",),
        library="actfast (MIT), extra `raw`",
        tested_on="actigraph_testfile.gt3x (GGIR); .bin and .cwa: no real file was at hand",
    ),
}


def devices_with(option: str) -> tuple[str, ...]:
    """Names of the devices that have an option."""
    return tuple(name for name, device in DEVICES.items() if option in device.options)
