import re
import unicodedata

import numpy as np
import polars as pl
import polars_readstat
import pytest

from pat_keras.data.assembly import assemble
from pat_keras.data.label_config import LabelConfig
from pat_keras.data.label_rules import PositiveRule, parse_map
from pat_keras.data.labels import join_labels, read_label_table
from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.data.readers.table import read_tables
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig
from pat_keras.errors import LabelError
from tests.data.readers.generate import depresjon_files, write_zip
from tests.data.readers.plain_tables import plain, write, write_all

CSV = "id,phq9,group,answer,weight\n0012,10,a,yes,70.5\n12,9,b,no,\n7,NA,a,,81\n8,27,,yes,66\n"


def table(tmp_path, text=CSV, **config):
    path = write(tmp_path / "labels.csv", text)
    return read_label_table(LabelConfig(str(path), **{"id_column": "id", **config}))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("phq9>=10", [1, 0, None, 1]),
        (" phq9 > 10 ", [0, 0, None, 1]),
        ("phq9<=9", [0, 1, None, 0]),
        ("phq9 < 9.5", [0, 1, None, 0]),
        ("phq9 == 9", [0, 1, None, 0]),
        ("phq9=9", [0, 1, None, 0]),
        ("phq9 != 9", [1, 0, None, 1]),
        ("phq9 in {9, 27}", [0, 1, None, 1]),
        ("group in {a}", [1, 0, 1, None]),
        ("group == 'b'", [0, 1, 0, None]),
        ('group != "b"', [1, 0, 1, None]),
    ],
)
def test_rules(tmp_path, rule, expected):
    made = table(tmp_path, positive=rule, name="ill")
    assert made.people["ill"].to_list() == expected
    assert made.people["participant_id"].to_list() == ["0012", "12", "7", "8"]
    assert made.meanings["ill"] == f"1 {rule.strip()}, else 0 (labels.csv)"


def test_ids_of_whole_numbers_with_a_decimal_point_are_as_those_of_recordings(tmp_path):
    assert table(tmp_path, "id,phq9\n12.0,1\n7.0,2\n").people["participant_id"].to_list() == ["12", "7"]
    assert table(tmp_path, "id,phq9\n1.0,1\n1.1,2\n").people["participant_id"].to_list() == ["1.0", "1.1"]


def test_what_becomes_of_words_is_told_in_numbers_of_people(tmp_path):
    groups = ["control"] * 12 + ["ill"] * 3 + ["case"] * 5 + ["unknown", "NA"]
    text = "id,group\n" + "".join(f"{number},{group}\n" for number, group in enumerate(groups))
    made = table(tmp_path, text, positive="group==case", missing_values=("unknown",), name="sick")
    assert made.people["sick"].to_list() == [0] * 15 + [1] * 5 + [None, None]
    note = "1 = case (5); 0 = control (12), ill (3)"
    assert made.notes == {"people of labels.csv by group, with their sick": note}
    assert table(tmp_path, text, positive="group in {case, unknown}").people["label"].sum() == 6  # the rule names it
    assert not table(tmp_path, text.replace("ill", "control"), positive="group=case", missing_values=("unknown",)).notes


def test_a_missing_value_of_one_column_stays_in_the_others(tmp_path):
    text = "id,phq9,site,note\n1,9,9,a:b\n2,12,1,c\n3,3,2,c\n"
    made = table(tmp_path, text, missing_values=("site:9",), positive="note == c")
    assert made.people["phq9"].to_list() == [9, 12, 3]
    assert made.people["site"].to_list() == [None, 1, 2]
    assert table(tmp_path, text, missing_values=("9",)).people["phq9"].to_list() == [None, 12, 3]
    made = table(tmp_path, text, missing_values=("note:a:b",), positive="note == c")
    assert made.people["label"].to_list() == [None, 1, 1]
    assert table(tmp_path, text, missing_values=("a:b",), positive="note == c").people["label"].sum() == 2


def test_likely_codes_of_labels_and_of_the_column_of_a_rule_are_told(tmp_path):
    text = "id,phq9,age\n1,3,40\n2,99,99\n3,14,71\n4,-9,35\n"
    made = table(tmp_path, text, positive="phq9>=10", columns=("age",))
    assert made.people["label"].to_list() == [0, 1, 1, 0]  # told, not decided
    (words,) = made.warnings
    assert words.startswith(
        "phq9 of labels.csv has the value -9 (1 person), 99 (1 person); all others are from 3 to 14."
    )
    assert table(tmp_path, text, positive="phq9>=10").warnings == [words]
    assert not table(tmp_path, text, positive="phq9>=10", missing_values=("phq9:-9", "phq9:99")).warnings


def test_a_rule_that_tells_nobody_apart_is_told(tmp_path):
    text = "id,phq9\n1,3\n2,12\n3,\n"
    (words,) = table(tmp_path, text, positive="phq9>=20", name="sick").warnings
    assert words.startswith("sick is 0 for all 2 people with a phq9 (labels.csv), so that nothing can be learned")
    assert not table(tmp_path, text, positive="phq9>=10").warnings


def test_many_words_are_counted_and_ids_are_not_named(tmp_path):
    rows = "".join(f"p{number},{'abcdefghijkl'[number % 12]},own {number}\n" for number in range(48))
    (note,) = table(tmp_path, "id,site,word\n" + rows, positive="site in {a, l}").notes.values()
    assert note == "1 = a (4), l (4); 0 = b (4), c (4), d (4), e (4), f (4), g (4), 4 more texts (16)"
    for rule in ("id in {p1, p2}", "word in {own 1, own 2}"):
        (note,) = table(tmp_path, "id,site,word\n" + rows, positive=rule).notes.values()
        assert note == "1 = 2 different texts (2); 0 = 46 different texts (46)"


def test_columns_of_numbers_are_taken_and_text_is_told(tmp_path):
    made = table(tmp_path)
    assert made.people.columns == ["participant_id", "phq9", "weight"]
    assert made.left_out == ["group", "answer"]
    assert made.people["weight"].to_list() == [70.5, None, 81, 66]
    assert table(tmp_path, columns=("weight",)).people.columns == ["participant_id", "weight"]
    assert table(tmp_path, missing_values=("27",)).people["phq9"].to_list() == [10, 9, None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,bmi\n1,23.456\n2,31.250\n", [23.456, 31.25]),  # as programs write three decimals
        ("id\tbmi\n1\t23.456\n2\t31.250\n", [23.456, 31.25]),
        ("id;bmi\n1;23,456\n2;0,250\n", [23.456, 0.25]),  # 0,250 is no thousands
        ("id;bmi\n1;23.456\n2;31.25\n", [23.456, 31.25]),
        ('id,bmi\n1,"23,456"\n2,"2,5"\n', [23.456, 2.5]),
    ],
)
def test_three_decimals_are_decimals_where_something_tells(tmp_path, text, expected):
    assert table(tmp_path, text).people[text[3:6]].to_list() == expected


def test_texts_become_numbers_by_a_map(tmp_path):
    made = table(tmp_path, columns=("answer",), mapping="yes=1,no=0")
    assert made.people["answer"].to_list() == [1, 0, None, 1]
    assert made.meanings["answer"] == "answer of labels.csv, yes=1,no=0"
    made = table(tmp_path, columns=("phq9",), mapping="10=1, 9=0,27=1")
    assert made.people["phq9"].to_list() == [1, 0, None, 1]
    made = table(tmp_path, columns=("answer",), mapping="yes=1,no=0", positive="answer>=1")
    assert made.people["label"].to_list() == [1, 0, None, 1]


def test_a_map_is_for_the_columns_of_text_whose_words_it_has(tmp_path):
    text = "id,phq9,age,sex,smoker,site\n1,3,40,female,no,x\n2,12,52,male,NA,y\n3,1,33,,refused,x\n"
    mapping = "female=1,male=0,yes=1,no=0"
    made = table(tmp_path, text, mapping=mapping, missing_values=("refused",))
    assert made.people.columns == ["participant_id", "phq9", "age", "sex", "smoker"]
    assert made.people["sex"].to_list() == [1, 0, None]
    assert made.people["smoker"].to_list() == [0, None, None]
    assert made.people["age"].to_list() == [40, 52, 33]
    assert (made.left_out, made.meanings["sex"]) == (["site"], f"sex of labels.csv, {mapping}")
    assert made.meanings["age"] == "age of labels.csv"
    made = table(tmp_path, text, mapping="female=1,male=0", columns=("sex", "age"))
    assert made.people.columns == ["participant_id", "sex", "age"]
    made = table(tmp_path, "id,a,b\n1,none,1\n2,mild,2\n", mapping="none=0,mild=1,1=7")
    assert (made.people["a"].to_list(), made.people["b"].to_list()) == ([0, 1], [1, 2])  # numbers stay


def test_a_map_is_for_columns_of_typed_files_too(tmp_path):
    path = tmp_path / "labels.parquet"
    people = {"id": ["a", "b"], "sex": ["f", "m"], "age": [30, 40], "sure": [True, False], "sites": [["x"], ["y"]]}
    pl.DataFrame(people, schema_overrides={"sex": pl.Categorical}).write_parquet(path)
    made = read_label_table(LabelConfig(str(path), "id", mapping="f=1,m=0"))
    assert made.people.drop("participant_id").rows() == [(1, 30, 1), (0, 40, 0)]
    assert made.left_out == ["sites"]


def test_the_parts_of_a_split_stay_text(tmp_path):
    text = "id,phq9,part,phase\n1,3,train,train\n2,12,test,early\n3,1,,late\n4,2,validation,train\n"
    made = table(tmp_path, text)
    assert made.people.columns == ["participant_id", "phq9", "part"]
    assert made.people["part"].to_list() == ["train", "test", None, "validation"]
    assert (made.left_out, made.meanings["part"]) == (["phase"], "train, validation, test of labels.csv")
    note = "parts of a split, for pat-finetune --split=column --split_column=part"
    assert made.notes == {"part of labels.csv": note}
    assert table(tmp_path, text, columns=("phq9", "part")).people["part"].to_list() == made.people["part"].to_list()
    assert table(tmp_path, text, columns=("phq9",)).people.columns == ["participant_id", "phq9"]
    made = table(tmp_path, text, columns=("part",), mapping="train=0,test=1,validation=2")
    assert made.people["part"].to_list() == [0, 1, None, 2]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "xpt", "sav", "dta"])
def test_formats(tmp_path, suffix):
    people = pl.DataFrame({"seqn": [1.0, 2.0, 3.0], "phq": [10.0, 0.0, None], "sex": ["m", "f", "f"]})
    path = tmp_path / f"labels.{suffix}"
    if suffix in ("csv", "tsv"):
        people.with_columns(pl.col("seqn").cast(pl.Int64)).write_csv(path, separator="," if suffix == "csv" else "\t")
    elif suffix == "parquet":
        people.write_parquet(path)
    elif suffix == "xpt":
        polars_readstat.write_xpt(people, str(path))
    else:
        polars_readstat.write_readstat(people, str(path))
    made = read_label_table(LabelConfig(str(path), "seqn", positive="phq>=10"))
    assert made.people["participant_id"].to_list() == ["1", "2", "3"]
    assert made.people["phq"].to_list() == [10, 0, None]
    assert made.people["label"].to_list() == [1, 0, None]
    assert made.left_out == ["sex"]


BAD_RULES = [
    "phq9",
    "phq9 >= ",
    ">=10",
    "phq9 >> 1",
    "phq9 >= 1 and x",
    "phq9 in {}",
    "phq9 in 1,2",
    "phq9 >= ten",
    "__import__('os')",
]
MALFORMED = {
    "no file": (None, {}, "no such file"),
    "empty": ("", {}, "the file is empty"),
    "header alone": ("id,phq9\n", {}, "no row below the header"),
    "no id column": (CSV, {"id_column": "person"}, "no column 'person'; found 'id', 'phq9'"),
    "no label column": (CSV, {"columns": ("phq",)}, "no column 'phq'; found"),
    "no column of the rule": (CSV, {"positive": "phq8>=1"}, "no column 'phq8'"),
    "id twice": (CSV + "12,3,a,no,\n", {}, r"line 6: id '12' is there already, in line 3 \(1 such ids\)"),
    "id missing": (CSV + ",3,a,no,\n", {}, "line 6: id is '', expected a participant's id"),
    "doubled column": (CSV.replace("weight", "phq9"), {}, "line 1: column 5 of the header has the name of another"),
    "unnamed column": (CSV.replace("phq9", ""), {}, "line 1: column 2 of the header has no name"),
    "short line": (CSV + "9,1\n", {}, "line 6: has 2 fields, expected 5"),
    "long line": (CSV + "9,1,a,no,7,8\n", {}, "line 6: has 6 fields, expected 5"),
    "text label": (
        CSV,
        {"columns": ("answer",)},
        "line 2: answer is 'yes'.*such as 'no', 'yes' become numbers by --map",
    ),
    "text in numbers": (
        CSV.replace("27", "27?"),
        {"columns": ("phq9",)},
        r"line 5: phq9 is '27\?', expected a number.* by --label_missing_values\. Texts such as '27\?' become",
    ),
    **{  # a text is no number that differs from 9: who has it is not negative
        f"text in numbers of the rule {rule}": (
            CSV.replace("27", "unknown"),
            {"positive": rule, "columns": ("weight",)},
            r"line 5: phq9 is 'unknown', but --positive=phq9.* \(1 such lines\).* --label_missing_values=unknown",
        )
        for rule in ("phq9==9", "phq9>=10", "phq9 in {9, 10}", "phq9 != 9")
    },
    "rule of small letters": (
        CSV.replace(",a,", ",A,", 1),
        {"positive": "group==a"},
        "'group' holds 'A', too, .*or name each: 'group in {a, A}'",
    ),
    "rule of capital letters": (CSV, {"positive": "group != B"}, "'group' holds 'b', too, .*alike in the table[.]$"),
    **{
        f"no answer, {rule}": (
            "id,group\n1,case\n2,control\n3,Unknown\n4,refused\n5,NA\n",
            {"positive": rule, "columns": ()},
            f"line 4: group is 'Unknown', which is likely no answer, but --positive={rule} would make a {made} of it "
            r"\(2 such lines\).*--label_missing_values=Unknown,refused; if it is an answer, write it in other words",
        )
        for rule, made in (("group==case", 0), ("group!=control", 1))
    },
    **{
        f"no answer {word}": (f"id;group\n1;case\n2;{word}\n", {"positive": "group=case"}, "likely no answer")
        for word in ("-", "?", "??", "n.a.", "N.A", "Don't know", "don\u2019t know", " MISSING ", "not answered", "...")
    },
    "map lacks a text": (
        CSV,
        {"columns": ("answer",), "mapping": "yes=1"},
        "line 3: answer is 'no', which --map=yes=1",
    ),
    "map of some words of a column": (
        CSV,
        {"mapping": "yes=1"},
        "--map=yes=1 has some of the words of answer, but not 'no'. Add them to the mapping or to --label_",
    ),
    "map of no column": (
        CSV,
        {"mapping": "ja=1"},
        "no word of any column of text; found: 'group' has 'a', 'b'; 'answer'",
    ),
    "map of none of the columns": (
        CSV,
        {"mapping": "yes=1,no=0", "columns": ("phq9", "weight")},
        "no word of any column of text; found: no such column. .* to map a column of numbers, give it as the one",
    ),
    "map beside a text": (
        CSV,
        {"mapping": "yes=1,no=0", "columns": ("answer", "group")},
        "line 2: group is 'a', expected a number",
    ),
    "map of numbers and words": (
        "id,a\n1,12\n2,none\n3,refused\n",
        {"mapping": "none=0"},
        "some of the words of a, but not '12', 'refused'",
    ),
    "map no number": (CSV, {"columns": ("answer",), "mapping": "yes=ja"}, "'yes=ja' is no text=number"),
    "map twice": (CSV, {"columns": ("answer",), "mapping": "yes=1,yes=0"}, "'yes' is there twice"),
    "size of a text": (CSV, {"positive": "group>=1"}, "'group' holds text .such as 'a', 'b'., which has no size"),
    "missing value of no column": (
        CSV,
        {"missing_values": ("grup:9",)},
        "--label_missing_values=grup:9: there is no column 'grup', and no 'grup:9' in the table; found",
    ),
    "name taken": (CSV, {"positive": "phq9>=10", "name": "phq9"}, "a column 'phq9' already"),
    "name of ours": (CSV.replace("weight", "window"), {}, "'window' is a name that every cohort uses"),
    "no numbers": ("id,a\n1,x\n2,y\n", {}, "no column holds numbers beside 'id'"),
    "thousands": (
        "id;a\n1;1,234\n2;5\n",
        {},
        "which is 1234 if the comma.*tells which. If it is the decimal mark, write 1,2340; if not, take",
    ),
    "thousands, all with commas": (
        'id,steps\n0001,"7,532"\n0002,"10,210"\n0003,"8,901"\n0004,"3,120"\n',
        {},
        "line 2: steps is '7,532', which is 7532 if the comma separates.*write 7,5320; if not, take the separators",
    ),
    "thousands, with a whole number above them": (
        'id,steps\n1,"7,532"\n2,10210\n',
        {},
        "line 2: steps is '7,532', which is 7532 if the comma",
    ),
    "thousands with a sign": ('id,change\n1,"-7,532"\n2,"+1,210"\n', {}, "'-7,532', which is -7532 if the comma"),
    "thousands with points, between semicolons": ("id;a\n1;7.532\n2;3.120\n", {}, "which is 7532 if the point"),
    "thousands with points, commas elsewhere": (
        'id,a,b\n1,7.532,"2,5"\n2,3.120,"0,123"\n',
        {},
        "a is '7.532', which is 7532 if the point",
    ),
    **{f"rule {rule}": (CSV, {"positive": rule}, re.escape(f"--positive={rule}: ")) for rule in BAD_RULES},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_labels(tmp_path, case):
    text, config, message = MALFORMED[case]
    path = tmp_path / "labels.csv"
    if text is not None:
        write(path, text)
    with pytest.raises(LabelError, match=message) as caught:
        read_label_table(LabelConfig(str(path), **{"id_column": "id", **config}))
    assert "labels.csv" in str(caught.value) or str(caught.value).startswith("--")


@pytest.mark.parametrize("suffix", ["parquet", "xpt", "sav", "dta", "xlsx"])
def test_damaged_files(tmp_path, suffix):
    path = write(tmp_path / f"labels.{suffix}", b"nothing of the kind" * 20)
    with pytest.raises(LabelError, match=rf"labels\.{suffix}"):
        read_label_table(LabelConfig(str(path), "id"))


@pytest.mark.parametrize(
    ("number", "rest", "words"),
    [
        (114, 3, r"of version 8 to 12 \(format 114\) and can't be read \(.*.*Save it again there, or as CSV"),
        (113, 900, r"of version 8 to 12 \(format 113\) and can't be read"),
        (111, 900, r"of version 7 or older \(format 111\) and is not read; expected one that Stata 13 or newer saved"),
        (105, 3, r"of version 7 or older \(format 105\)"),
    ],
)
def test_files_of_stata_before_13_are_named(tmp_path, number: int, rest: int, words: str):
    path = write(tmp_path / "labels.dta", bytes([number, 2, 1, 0, 200, 0, 2]) + bytes([7]) * rest)
    with pytest.raises(LabelError, match=rf"labels\.dta: is a Stata file {words}"):
        read_label_table(LabelConfig(str(path), "id"))


def test_a_map_of_numbers_refuses_one_that_it_lacks(tmp_path):
    path = tmp_path / "labels.parquet"
    pl.DataFrame({"id": ["a", "b", "c", "d"], "x": [1.0, 1.5, None, float("nan")]}).write_parquet(path)
    with pytest.raises(LabelError, match=r"line 2: x is '1\.5', which --map=1=0 does not have"):
        read_label_table(LabelConfig(str(path), "id", ("x",), mapping="1=0"))
    made = read_label_table(LabelConfig(str(path), "id", ("x",), mapping="1=0,1.5=1"))
    assert made.people["x"].to_list() == [0, 1, None, None]


def test_parsing():
    assert PositiveRule.parse("a b >= 1e-3") == PositiveRule("a b >= 1e-3", "a b", ">=", ("1e-3",))
    assert parse_map("yes = 1,'no'=0,a=b=2") == {"yes": 1, "no": 0, "a=b": 2}


def test_everybody_of_both_sides_is_counted(tmp_path):
    """0012 is not 12; a missing label stays missing; who is in one of both only is rejected with that reason."""
    week = plain(9 * 1440)
    raw = write_all(tmp_path / "raw", {f"{name}.csv": week for name in ("0012", "7", "8", "99")})
    labels = table(tmp_path, positive="phq9>=10")
    made = assemble(join_labels(read_tables(raw), labels), WindowConfig())
    assert made.cohort.participant_id.tolist() == ["0012", "7", "8"]
    np.testing.assert_array_equal(made.cohort.label("label"), [1, np.nan, 1])
    assert {one.participant_id: one.reason for one in made.rejections} == {
        "99": "no row in labels.csv",
        "12": "in labels.csv, but without a recording",
    }
    assert made.cohort.metadata["reading"]["columns of text in labels.csv left out"] == "group, answer"
    required = assemble(join_labels(read_tables(raw), labels), WindowConfig(), "label")
    assert {one.participant_id: one.reason for one in required.rejections}["7"] == "no label in labels.csv"
    funnel = required.cohort.metadata["funnel"]
    assert funnel[0]["people"] == 5 == sum(step["people"] for step in funnel[1:])


def test_ids_that_differ_in_zeros_or_letters_are_told_and_composed_letters_are_alike(tmp_path):
    names = ("a7", "12", unicodedata.normalize("NFD", "Zoë"))
    raw = write_all(tmp_path / "raw", {f"{name}.csv": plain() for name in names})
    labels = table(tmp_path, "id,score\nA7,1\n0012,2\nZoë,3\n")
    items = {one.participant_id: one for one in join_labels(read_tables(raw), labels).recordings}
    assert isinstance(items["Zoë"], Recording)
    assert "one of 'A7': if that is the same person" in items["a7"].detail and "'0012'" in items["12"].detail


def test_ids_that_a_spreadsheet_changed_are_told(tmp_path):
    raw = write_all(tmp_path / "raw", {"001.csv": plain(), "002.csv": plain(), "x.csv": plain()})
    labels = table(tmp_path, 'id,score\n001.0,1\n="002",2\nx,3\n')
    details = [one.detail for one in join_labels(read_tables(raw), labels).recordings if not isinstance(one, Recording)]
    assert "one of '001.0': if that" in details[0] and "one of '=\"002\"': if that" in details[1]
    with pytest.raises(LabelError, match=r"what spreadsheets add \(.0, =\) some would match"):
        list(join_labels(read_tables(raw), table(tmp_path, "id,score\n1.0,1\n")).recordings)


def test_a_line_that_tells_spreadsheets_the_separator(tmp_path):
    for hint in ("sep=;", '"sep=;"', "SEP=;;;"):
        made = table(tmp_path, f"{hint}\r\nid;score;city, street\r\n7;1,5;x\r\n8;?;x\r\n", missing_values=("?",))
        assert made.people["score"].to_list() == [1.5, None]
    with pytest.raises(LabelError, match="line 3: score is 'a'"):
        table(tmp_path, "sep=,\nid,score\n7,a\n", columns=("score",))


NOTES = """id,"phq9
(sum)",note,sex
7,9,"slept badly;

said ""no, never""
again",1
8,10,plain,0
9,11,"two
lines",1
"""


def test_texts_of_several_lines(tmp_path):
    """As REDCap exports notes; what follows has the line that it has in the file."""
    made = table(tmp_path, NOTES)
    assert made.people["phq9\n(sum)"].to_list() == [9, 10, 11] and made.left_out == ["note"]
    assert made.people["participant_id"].to_list() == ["7", "8", "9"]
    with pytest.raises(LabelError, match="line 8: id '7' is there already, in line 3"):
        table(tmp_path, NOTES.replace("\n9,", "\n7,"))
    with pytest.raises(LabelError, match="line 7: sex is 'x'"):
        table(tmp_path, NOTES.replace("plain,0", "plain,x"), columns=("sex",))


@pytest.mark.parametrize(
    "rows",
    [
        '7,1,"open\n8,0,closed"\n9,1,x\n',  # a text of one row, or two rows
        '7,1,"open\n8,0,x\n9,1,closed"\n',
        '7,1,"open\n8,0,"open\n9,1,x\n',
        '7,1,5" tall\n8,0,6" tall\n9,1,x\n',
        '7,1,"open\n8,0,x\n9,1,x\n',
    ],
)
def test_nobody_is_lost_in_a_text_that_is_not_closed(tmp_path, rows):
    with pytest.raises(LabelError, match="line 2: a quotation mark is not closed"):
        table(tmp_path, f"id,score,note\n{rows}")


def test_no_id_in_common(tmp_path):
    raw = write_all(tmp_path / "raw", {"00012.csv": plain()})
    with pytest.raises(LabelError, match=r"no id is one of a recording.*'0012', '12'.*'00012'.*Without leading zeros"):
        list(join_labels(read_tables(raw), table(tmp_path)).recordings)
    with pytest.raises(LabelError, match=r"make the ids alike, or take them out of the names of the files by --id_pat"):
        list(join_labels(read_tables(raw), table(tmp_path)).recordings)
    with pytest.raises(LabelError, match=r"make the ids alike\.$"):  # one is given already
        list(join_labels(read_tables(raw, TableConfig(id_pattern=".+")), table(tmp_path)).recordings)


def test_joined_to_a_study_with_labels(tmp_path):
    study = read_depresjon(write_zip(tmp_path / "d.zip", depresjon_files(people=1)))
    labels = table(tmp_path, "id,score\ncondition_1,3\ncontrol_1,NA\n")
    cohort = assemble(join_labels(study, labels), WindowConfig(), "depressed").cohort
    np.testing.assert_array_equal(cohort.label("score"), [3, np.nan])
    assert cohort.label("depressed").tolist() == [1, 0]
    with pytest.raises(LabelError, match="the column 'age' is one of Depresjon, too"):
        join_labels(study, table(tmp_path, "id,age\ncondition_1,3\n"))
