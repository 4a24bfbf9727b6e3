"""pat-embed: a cohort's embeddings as a table, from a file read by parts, resumed where it was stopped."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil

import keras
import numpy as np
import polars as pl
import pytest

from pat_keras.apps.embed import main
from pat_keras.config import EncoderConfig
from pat_keras.data import cohort_checks, stored_activity
from pat_keras.data.cohort import Cohort
from pat_keras.data.standardize import Standardizer
from pat_keras.evaluation import embed
from pat_keras.evaluation.ensemble import PATEnsemble
from pat_keras.evaluation.experiment import finetune
from pat_keras.models.encoder import PATEncoder
from tests.small import small_cohort, small_config


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort(n_people=10)


@pytest.fixture(scope="module")
def encoder() -> PATEncoder:
    keras.utils.set_random_seed(0)
    return PATEncoder(EncoderConfig.small())


@pytest.fixture
def place(cohort, encoder, tmp_path, monkeypatch) -> pathlib.Path:
    """A folder with a cohort of 20 windows, which are taken 8 at a time, and weights."""
    cohort.write(tmp_path / "cohort.parquet")
    encoder.save(tmp_path / "encoder.keras")
    for module in (stored_activity, embed):
        monkeypatch.setattr(module, "BLOCK", 8)
    return tmp_path


def _embed(place: pathlib.Path, *more: str, weights: str | pathlib.Path = "encoder.keras") -> int:
    arguments = [f"--data={place / 'cohort.parquet'}", f"--weights={place / weights}", f"--out={place / 'e.parquet'}"]
    return main(["pat-embed", *arguments, *more])


def _features(place: pathlib.Path) -> np.ndarray:
    return pl.read_parquet(place / "e.parquet").select(pl.col("^pat_.*$")).to_numpy()


def _about(place: pathlib.Path) -> dict:
    return json.loads(pl.read_parquet_metadata(place / "e.parquet")[embed.METADATA_KEY])


def test_table_and_metadata(cohort, encoder, place, capsys) -> None:
    assert _embed(place, "--pooling=mean_std") == 0
    table = pl.read_parquet(place / "e.parquet")
    names = [f"{kind}_{i:02d}" for kind in ("pat", "pat_std") for i in range(96)]
    assert table.columns == ["participant_id", "window", "start", *names]
    assert table.select("participant_id", "window", "start").equals(cohort.table.select(cohort_checks.KEY_COLUMNS))
    x = Standardizer.fit(cohort.activity, "per_minute").apply(cohort.activity)
    np.testing.assert_allclose(_features(place), encoder.embed(x, pooling="mean_std"), atol=1e-5)
    about = _about(place)
    assert about["weights"]["sha256"] == hashlib.sha256((place / "encoder.keras").read_bytes()).hexdigest()
    assert about["scaling"] == {"kind": "per_minute", "fitted_on": "these windows"}
    assert about["data"]["synthetic"]
    assert about["versions"]["pat_keras"]
    assert sorted(path.name for path in place.iterdir()) == ["cohort.parquet", "e.parquet", "encoder.keras"]
    printed = capsys.readouterr()
    assert "SYNTHETIC DATA. 20 windows, 192 features" in printed.out
    assert "was fitted on 20 windows alone" in printed.err
    content = (place / "e.parquet").read_bytes()
    assert _embed(place) == 2
    assert "is already there" in capsys.readouterr().err
    assert (place / "e.parquet").read_bytes() == content
    assert _embed(place, "--overwrite", "--standardize=none") == 0
    np.testing.assert_allclose(_features(place), encoder.embed(cohort.activity), rtol=1e-4, atol=1e-3)


def test_a_killed_call_goes_on(place, monkeypatch, capsys) -> None:
    assert _embed(place) == 0
    whole = pl.read_parquet(place / "e.parquet")
    (place / "e.parquet").unlink()
    sizes: list[int] = []
    original = embed.Embedder.embed

    def counted(self, activity, batch_size):
        sizes.append(len(activity))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return original(self, activity, batch_size)

    monkeypatch.setattr(embed.Embedder, "embed", counted)
    assert _embed(place) == 130
    assert not (place / "e.parquet").exists()
    assert sorted(path.name for path in (place / "e.parquet.parts").iterdir()) == [
        "000000.parquet", "000001.parquet", "scaling.json", "state.json"
    ]  # fmt: skip
    assert _embed(place) == 2
    assert "go on with it by --resume" in capsys.readouterr().err.lower()
    assert _embed(place, "--resume", "--pooling=mean_std") == 2
    assert "settings whose pooling is 'mean'" in capsys.readouterr().err
    monkeypatch.setattr(embed.Standardizer, "fit", None)  # what was fitted is kept
    assert _embed(place, "--resume") == 0
    assert sizes == [8, 8, 4, 4]
    assert pl.read_parquet(place / "e.parquet").equals(whole)
    assert not (place / "e.parquet.parts").exists()


def test_two_calls_at_once(place, capsys) -> None:
    """Parts of one would be taken for those of the other, whatever its settings."""
    with embed._alone(place / "e.parquet"):
        assert _embed(place, "--overwrite", "--standardize=cohort") == 2
    assert "e.parquet: another process is writing it" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["cohort.parquet", "encoder.keras"]


def test_other_data_are_not_gone_on_with(cohort, place, monkeypatch, capsys) -> None:
    monkeypatch.setattr(embed, "_join", lambda *arguments: None)
    assert _embed(place) == 0
    cohort.select(range(18)).write(place / "cohort.parquet", overwrite=True)
    assert _embed(place, "--resume") == 2
    assert "was begun with data whose sha256 is" in capsys.readouterr().err


def test_a_file_is_read_as_the_cohort_is(cohort, place) -> None:
    """With missing minutes, and lists of variable length as other programs write them."""
    gaps = cohort.activity.copy()
    gaps[1, 18:36], gaps[9, :700] = np.nan, np.nan
    lists = pl.Series("activity", gaps.tolist(), dtype=pl.List(pl.Float64))
    cohort.table.with_columns(lists).write_parquet(place / "cohort.parquet")
    assert _embed(place, "--missing=mask", "--standardize=cohort") == 0
    from_file = _features(place)
    cohort_of_gaps = Cohort(gaps, cohort.table, cohort.metadata)
    embed.write_embeddings(
        cohort_of_gaps,
        place / "encoder.keras",
        place / "e.parquet",
        embed.EmbedConfig(missing="mask", standardize="cohort"),
        overwrite=True,
        say=lambda message: None,
    )
    np.testing.assert_array_equal(from_file, _features(place))


def test_a_run_brings_its_scaling(cohort, place, capsys) -> None:
    result = finetune(small_cohort(), "label", small_config(epochs=1, mode="linear_probe"), out=place / "run")
    capsys.readouterr()
    assert _embed(place, weights="run") == 0
    assert "embeddings of people it has seen know their labels" in capsys.readouterr().err
    about = _about(place)
    assert about["scaling"] == {"kind": "cohort", "fitted_on": "the weights' data"}
    assert about["weights"]["finetuned_on"] == "label"
    expected = keras.ops.convert_to_numpy(result.models[0].pool(cohort.activity))
    np.testing.assert_allclose(_features(place), expected, atol=1e-4)
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    (place / "run" / "metrics.json").write_text(json.dumps({**metrics, "split": "kfold", "folds": [{}, {}]}))
    assert _embed(place, "--overwrite", weights="run") == 2
    assert "a model for each of its 2 folds" in capsys.readouterr().err
    (place / "run" / "metrics.json").write_text(json.dumps(metrics))
    other = Cohort(cohort.activity, cohort.table, {**cohort.metadata, "unit": "MIMS"})
    other.write(place / "cohort.parquet", overwrite=True)
    (place / "run" / "models").mkdir()
    shutil.copy(place / "run" / "model.keras", place / "run" / "models" / "fold_1.keras")
    for weights in ("run", "run/model.keras", "run/models/fold_1.keras"):
        assert _embed(place, "--overwrite", weights=weights) == 2
        assert "the unit is 'MIMS'" in capsys.readouterr().err


def test_a_member_of_an_ensemble_is_checked_as_a_run_is(cohort, place, capsys) -> None:
    run = finetune(small_cohort(), "label", small_config(epochs=1, mode="linear_probe"), out=place / "run")
    PATEnsemble.from_runs([run.folder]).save(place / "both")
    (combined := place / "combined").mkdir()  # by pat-ensemble: a run directory with an ensemble in it
    shutil.copytree(place / "run", combined, dirs_exist_ok=True, ignore=lambda *_: ["model.keras"])
    shutil.copytree(place / "both", combined, dirs_exist_ok=True)
    capsys.readouterr()
    other = Cohort(cohort.activity, cohort.table, {**cohort.metadata, "unit": "MIMS"})
    other.write(place / "other.parquet")
    for folder in ("both", "combined"):
        assert _embed(place, "--overwrite", weights=folder) == 2
        words = f"is an ensemble of 1 models, whose embeddings don't mean the same; expected one. Name it: {place}"
        assert f"{words}/{folder}/members/001.keras." in capsys.readouterr().err
        member = f"{folder}/members/001.keras"
        assert _embed(place, "--overwrite", f"--data={place / 'other.parquet'}", weights=member) == 2
        assert "the unit is 'MIMS', that of the data of the run in" in capsys.readouterr().err
        assert _embed(place, "--overwrite", weights=member) == 0
        assert "embeddings of people it has seen know their labels" in capsys.readouterr().err
        assert _about(place)["weights"]["finetuned_on"] == "label"
    (place / "both" / "members" / "002.keras").write_bytes((place / "run" / "model.keras").read_bytes())
    assert _embed(place, "--overwrite", f"--data={place / 'other.parquet'}", weights="both/members/002.keras") == 0
    (place / "both" / "members" / "001.keras").write_bytes((place / "encoder.keras").read_bytes())
    capsys.readouterr()
    assert _embed(place, "--overwrite", weights="both/members/001.keras") == 2
    assert "it is damaged or another one" in capsys.readouterr().err


def test_another_unit_than_the_weights_learned_from_is_said(cohort, place) -> None:
    """Of a preset, and of a run of pat-pretrain; of other files nobody knows the unit."""
    (place / "run").mkdir()
    shutil.copy(place / "encoder.keras", place / "run")
    (place / "run" / "data.json").write_text('{"cohorts": [{"unit": "MIMS"}, {"unit": "counts"}]}')
    preset = "pat_small_nhanes2005"
    for unit, weights, words in (
        ("steps", preset, "the unit is 'steps', and the weights learned from counts: "),
        ("unknown unit", place / "run", "'unknown unit', and the weights learned from MIMS and counts: "),
        ("counts", preset, ""),
        ("MIMS", place / "run" / "encoder.keras", ""),
        ("steps", place / "encoder.keras", ""),
    ):
        said: list[str] = []
        data = Cohort(cohort.activity, cohort.table, {**cohort.metadata, "unit": unit})
        embed.write_embeddings(data, weights, place / "e.parquet", overwrite=True, say=said.append)
        own = [text for text in said if "unit" in text]
        assert len(own) == bool(words) and words in "".join(own)


def test_what_is_refused(cohort, place, capsys) -> None:
    gaps = cohort.activity.copy()
    gaps[3, 100] = np.nan
    Cohort(gaps, cohort.table, cohort.metadata).write(place / "cohort.parquet", overwrite=True)
    gaps[3] = np.nan
    Cohort(gaps, cohort.table, cohort.metadata).write(place / "unworn.parquet")
    (place / "broken.parquet").write_bytes((place / "cohort.parquet").read_bytes()[:-2000])
    (place / "empty").mkdir()
    cases = [
        ((), "cohort.parquet: 1 of 20 windows have missing minutes"),
        ((f"--data={place / 'unworn.parquet'}", "--missing=mask"), "1 of 20 windows have no patch of 18 minutes"),
        ((f"--data={place / 'broken.parquet'}",), "can't be read as Parquet"),
        ((f"--data={place / 'nothing.parquet'}",), "there is no such file"),
        ((f"--out={place / 'e.csv'}",), "ends in .parquet"),
        ((f"--weights={place / 'nothing'}",), "found neither such a file nor a preset"),
        ((f"--weights={place / 'empty'}",), "a folder without encoder.keras"),
        ((f"--participants={place / 'who.npy'}",), "goes with arrays"),
        (("--min_worn_share=2",), "min_worn_share is 2.0"),
    ]
    for arguments, words in cases:
        assert _embed(place, *arguments) == 2, arguments
        assert words in capsys.readouterr().err
    assert not list(place.glob("e.parquet*"))


def test_what_is_read_is_never_replaced(cohort, place, monkeypatch, capsys) -> None:
    before = (place / "cohort.parquet").read_bytes()
    for out in ("cohort.parquet", "./x/../cohort.parquet", "link.parquet"):
        (place / "x").mkdir(exist_ok=True)
        monkeypatch.chdir(place)
        if not (place / "link.parquet").exists():
            (place / "link.parquet").symlink_to("cohort.parquet")
        for more in ("--overwrite", "--nooverwrite", "--resume"):
            assert _embed(place, f"--out={out}", more) == 2
            assert "is read by the same command (--data: " in capsys.readouterr().err
    assert (place / "cohort.parquet").read_bytes() == before
    (place / "e.parquet.parts").mkdir()  # it would be emptied
    cohort.write(place / "e.parquet.parts" / "c.parquet")
    assert _embed(place, f"--data={place / 'e.parquet.parts' / 'c.parquet'}", "--overwrite") == 2
    assert "e.parquet.parts: would be replaced, but is read" in capsys.readouterr().err
    np.save(place / "x.npy", np.abs(cohort.activity))
    with open(place / "who.parquet", "wb") as file:
        np.save(file, np.arange(len(cohort.activity)))
    arrays = (f"--data={place / 'x.npy'}", f"--participants={place / 'who.parquet'}")
    assert _embed(place, *arrays, f"--out={place / 'who.parquet'}", "--overwrite") == 2
    assert "(--participants: " in capsys.readouterr().err
