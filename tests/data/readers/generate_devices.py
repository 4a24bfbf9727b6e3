"""Small files as devices and their programs write them, with counts that tell where they came from."""

from __future__ import annotations

import datetime
import pathlib
import sqlite3

START = datetime.datetime(2021, 3, 9, 10, 5)  # day and month could be taken for each other
DASHES = "-" * 50


def clocks(count: int, seconds: int, start: datetime.datetime = START) -> list[datetime.datetime]:
    return [start + datetime.timedelta(seconds=seconds * at) for at in range(count)]


def actigraph(count: int = 24, seconds: int = 15, titles: bool = False, mode: int = 13, **header: str) -> str:
    """axis1 is 0, 1, 2, ...; axis2 ten times as much; axis3 a hundred times."""
    fields = {
        "format": "M/d/yyyy",
        "time": "10:05:00",
        "date": "3/9/2021",
        "length": str(datetime.timedelta(seconds=seconds)).zfill(8),
        **header,
    }
    lines = [
        f"------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.4 date format {fields['format']} "
        "-----------",
        "Serial Number: NEO1",
        f"Start Time {fields['time']}",
        f"Start Date {fields['date']}",
        f"Epoch Period (hh:mm:ss) {fields['length']}",
        f"Current Battery Voltage: 4     Mode = {mode}",
        DASHES,
    ]
    if titles:
        lines.append("Date,Time,Axis1,Axis2,Axis3,Steps")
        lines += [f"{t:%m/%d/%Y},{t:%H:%M:%S},{i},{10 * i},{100 * i},0" for i, t in enumerate(clocks(count, seconds))]
    else:
        lines += [f"{i},{10 * i},{100 * i},0" for i in range(count)]
    return "\r\n".join(lines) + "\r\n"


def agd(path: pathlib.Path, count: int = 24, seconds: object = 15, **changes: str) -> pathlib.Path:
    """The same counts as `actigraph`. Changes are statements, run at the end."""
    ticks = (START - datetime.datetime(1, 1, 1)) // datetime.timedelta(microseconds=1) * 10
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE settings (settingID INTEGER, settingName TEXT, settingValue TEXT)")
        database.execute("INSERT INTO settings VALUES (1, 'epochlength', ?)", (str(seconds),))
        database.execute("CREATE TABLE data (dataTimestamp INTEGER, axis1 REAL, axis2 REAL, axis3 REAL)")
        step = int(seconds) * 10_000_000 if str(seconds).isdigit() else 10_000_000
        rows = [(ticks + i * step, i, 10 * i, 100 * i) for i in range(count)]
        database.executemany("INSERT INTO data VALUES (?, ?, ?, ?)", rows)
        for statement in changes.values():
            database.execute(statement)
    database.close()
    return path


def awd(epochs: list[str] | None = None, code: str = " 4 ", date: str = "09-Mar-2021", time: str = "10:05") -> str:
    epochs = ["0", "17 M", "8 , 0.00", "9 , 0,50 M", "1204 , 85"] if epochs is None else epochs
    return "\r\n".join(["somebody", date, time, code, "44", "V665936", "F", *epochs]) + "\r\n"


ACTIWARE = {  # preamble's epoch length, titles, not a number, off the wrist
    "en": ("Epoch Length:", ("Line", "Date", "Time", "Off-Wrist Status", "Activity"), "NaN"),
    "fr": ("Longueur de la période :", ("Ligne", "Date", "Heure", "Statut hors poignet", "Activité"), "NAN"),
    "de": ("Epochenlänge:", ("Zeile", "Datum", "Zeit", "Status „Nicht am Handgelenk“", "Aktivität"), "kZ"),
    "nl": ("Periodelengte:", ("Lijn", "Datum", "Tijd", "Status niet-om-pols", "Activiteit"), "NaN"),
}


def actiware(
    language: str = "en", count: int = 8, date: str = "%d/%m/%Y", separator: str = ",", length: int = 30
) -> str:
    """Epochs 2 and 3 are off the wrist; a table of markers above has nearly the same titles."""
    epoch, titles, nan = ACTIWARE[language]

    def line(*fields: object) -> str:
        return separator.join(f'"{field}"' for field in fields) + separator

    lines = [line("Actiware"), "", line(epoch, length, "s", ""), "", line(*titles[:3], "Marker"), ""]
    lines += [line(1, f"{START:{date}}", f"{START:%H:%M:%S}", "1"), "", line("--------------"), line(*titles), ""]
    for at, time in enumerate(clocks(count, length)):
        off = at in (2, 3)
        lines.append(line(at + 1, f"{time:{date}}", f"{time:%H:%M:%S}", int(off), nan if off else at * 10))
    return "\r\n".join(lines) + "\r\n"


def motionwatch(
    counts: str = "0,5,10,\n15,20,25,", epoch: str = "30", start: str = f"{START}", name: str = "motion"
) -> str:
    return (
        '\ufeff<?xml version="1.0" encoding="UTF-8"?><motionfile><log2>'
        "<change><property><name>+UserID</name><content>x</content></property></change>"
        "<change><property><name>=StartTime</name><content>1999-01-01 00:00:00</content></property></change>"
        f"<change><property><name>=StartTime</name><content>{start}</content></property></change>"
        f"<change><channel><name>{name}</name><epoch>{epoch}</epoch><offset>0</offset>"
        f'<data encoding="text">{counts}</data></channel></change>'
        '<change><channel><name>Light</name><epoch>30</epoch><data encoding="text">1,2,</data></channel></change>'
        "</log2></motionfile>"
    )


def condor(count: int = 5, titles: str = "DATE/TIME;MS;EVENT;PIM;TAT;ZCM;STATE") -> str:
    """The button was pressed 26 s after the beginning of epoch 2."""
    lines = ["+-------------+ Condor Instruments Report +-------------+", "SUBJECT_NAME : x", "+----+", titles]
    for at, time in enumerate(clocks(count, 60)):
        pressed = at == 2
        time += datetime.timedelta(seconds=26 * pressed)
        lines.append(f"{time:%d/%m/%Y %H:%M:%S};0;{int(pressed)};{at * 10};{at};{at * 2};0")
    return "\r\n".join(lines) + "\r\n"


def daqtometer(count: int = 130, zone: str = " GMT", channel: str = "Accelleration X+Y") -> str:
    lines = [
        f"Start: {START}{zone}",
        f"End: {START}{zone}",
        "",
        f"Name:,{channel},Light",
        "Binning mode:,Sum,Average",
        "",
    ]
    return "\r\n".join([*lines, *(f"{t},{i},53" for i, t in enumerate(clocks(count, 1)))]) + "\r\n"


def tempatilumi(count: int = 5) -> str:
    lines = ["A comment", "", "N° de Série: 1", "", "Data; Hora; Evento; Luminosidade; Atividade"]
    return "\r\n".join([*lines, *(f"{t:%Y/%m/%d}; {t:%H:%M:%S}; 0; 0; {i};" for i, t in enumerate(clocks(count, 60)))])


def mesa(people: tuple[str, ...] = ("0012", "0013"), count: int = 6) -> str:
    """Epoch 1 is off the wrist; recordings begin on a Thursday at 23:59."""
    lines = ["mesaid,line,linetime,offwrist,activity,marker,dayofweek"]
    begin = datetime.datetime(2021, 3, 11, 23, 59)
    for person in people:
        for at, time in enumerate(clocks(count, 30, begin)):
            off = at == 1
            lines.append(
                f"{person},{at + 1},{time:%H:%M:%S},{int(off)},{'' if off else at},0,{time.isoweekday() % 7 + 1}"
            )
    return "\n".join(lines) + "\n"


def fitbit(wide: bool, title: str = "Steps", hours: int = 50, people: tuple[str, ...] = ("15", "22")) -> str:
    """Minutes of an hour have its number, except for zeros on the second day; from 2016-04-12 23:00 on."""
    begin = datetime.datetime(2016, 4, 12, 23)
    lines = [
        "Id,ActivityHour," + ",".join(f"{title}{m:02}" for m in range(60)) if wide else f"Id,ActivityMinute,{title}"
    ]
    for person in people:
        for hour in range(hours):
            value = 0 if 1 <= hour <= 24 else hour
            for minute in range(1 if wide else 60):
                time = begin + datetime.timedelta(hours=hour, minutes=minute)
                twelve = f"{time.month}/{time.day}/{time.year} {time.hour % 12 or 12}:{time:%M:%S %p}"
                clock = f"{time.month}/{time.day}/{time.year} {time.hour}:{time:%M}" if wide else twelve
                lines.append(f"{person},{clock}" + f",{value}" * (60 if wide else 1))
    return "\n".join(lines) + "\n"


STEPS = (
    ' <Record type="HKQuantityTypeIdentifierStepCount" sourceName="{}" startDate="{} +0100" endDate="{} +0100" '
    'value="{}"/>'
)


def apple_health(records: list[tuple[str, str, str, object]], before: str = "") -> str:
    lines = [STEPS.format(*record) for record in records]
    other = ' <Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" value="61"/>'
    beginning = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE HealthData [\n<!ELEMENT HealthData (Record*)>\n'
    return "\n".join([beginning + before + "]>", '<HealthData locale="de">', *lines, other, "</HealthData>"])
