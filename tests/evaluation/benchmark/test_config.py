"""A benchmark's file: what it says, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.errors import ConfigError
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from tests.evaluation.benchmark.generate import FAST, write_benchmark


def _read(tmp_path, text: str) -> BenchmarkConfig:
    return BenchmarkConfig.read(write_benchmark(tmp_path, text))


def test_settings_of_all_models_then_recipe_then_model(tmp_path) -> None:
    text = FAST.replace("epochs = 1\n", "epochs = 7\ndropout = 0.3\n")
    text += '\n[[models]]\nname = "r"\nrecipe = "small_cohort"\nsettings = {batch_size = 4}\n'
    config = _read(tmp_path, text)
    settings = config.models[-1].finetune_config(config.tasks[0], 12, 5, config.split)
    assert (settings.epochs, settings.dropout, settings.batch_size) == (30, 0.3, 4)
    assert (settings.seed, settings.split_seed, settings.train_size, settings.test_fraction) == (5, 3, 12, 0.3)
    assert config.models[0].finetune_config(config.tasks[0], None, 0, config.split).epochs == 7


def test_paths_are_beside_the_file(tmp_path) -> None:
    config = _read(tmp_path, FAST)
    assert config.tasks[0].data == tmp_path / "small.parquet"
    assert config.train_sizes == (12, None)


def test_every_model_setting_can_be_given(tmp_path) -> None:
    """Each field of FinetuneConfig belongs to models, to [split], or is refused with the place it belongs to."""
    from pat_keras.evaluation.benchmark import config as module

    fields = set(FinetuneConfig().to_dict())
    for name in fields - set(module._SET_ELSEWHERE):
        value = getattr(FinetuneConfig(), name)
        written = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else repr(value)
        if value is not None and not isinstance(value, tuple):
            _read(tmp_path, FAST + f"\n[[models]]\nname = 'x'\nsettings = {{{name} = {written}}}\n")
    for name in module._SET_ELSEWHERE:
        with pytest.raises(ConfigError, match="is not set for a model, but by"):
            _read(tmp_path, FAST + f"\n[[models]]\nname = 'x'\nsettings = {{{name} = 1}}\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train_sizes", "train_size", r"bench.toml: train_size: is unknown here; did you mean 'train_sizes'"),
        ("epochs = 1", "epoch = 1", r"\[settings\] epoch: is unknown here; did you mean 'epochs'"),
        ("epochs = 1", "epochs = '1'", r"\[settings\] epochs: is '1', expected a value such as 30"),
        ("epochs = 1", "epochs = 0", r"model 'CNN', task 'label': epochs is 0"),
        ("epochs = 1", "epochs = true", r"\[settings\] epochs: is True"),
        (
            'reference = "CNN"',
            'reference = "cnn"',
            r"reference: is 'cnn', which is no model; did you mean 'CNN'",
        ),
        ('data = "small.parquet"', "", r"data: is not there; expected text"),
        ("seeds = [0, 1]", "seeds = [0, 0]", r"seeds: holds a value twice"),
        ("seeds = [0, 1]", "seeds = [-1]", r"seeds: holds -1, expected a list of whole numbers from 0"),
        ("seeds = [0, 1]", "seeds = 3", r"seeds: is 3, expected a list"),
        ("[12, ", '[12, "ale", ', r"train_sizes: holds 'ale'"),
        ("test_fraction", "test_fractions", r"\[split\] test_fractions: .*did you mean 'test_fraction'"),
        ('name = "label"', 'name = "label"\nkind = "binry"', r"\[tasks 1\] kind: is 'binry'; did you mean 'binary'"),
        ('name = "label"', 'name = "label"\npositive = "age"', r"\[tasks 1\] positive: .*is no rule"),
        ('name = "logistic"', 'name = "cnn!"', r"would both name the files cnn"),
        ('baseline = "', 'recipe = "x"\nbaseline = "', r"\[models 2\] recipe: goes with a network"),
        ('baseline = "simple_logistic"', 'recipe = "two_rate"', r"recipe: is 'two_rate'; did you mean 'two_rates'"),
        ('name = "CNN"\n', 'name = "CNN"\nseeds = [4]\n', r"\[models 1\] seeds: holds 4, which is not among"),
        (
            'baseline = "simple',
            'baseline = "simpler',
            r"baseline: is 'simpler_logistic'; did you mean 'simple_logistic'",
        ),
        ("[[tasks]]", "[tasks", "not TOML"),
        ("[[models]]", "[[modles]]", r"models: expected one table \[\[models\]\] or more"),
    ],
)
def test_errors_say_where_and_what_was_meant(tmp_path, old: str, new: str, message: str) -> None:
    assert old in FAST
    with pytest.raises(ConfigError, match=message):
        _read(tmp_path, FAST.replace(old, new))


def test_a_cohort_given_as_config_is_told(tmp_path) -> None:
    path = tmp_path / "cohort.parquet"
    path.write_bytes(b"PAR1\xb2\x00")
    with pytest.raises(ConfigError, match=r"cohort.parquet: found no text; .* A cohort goes to --data"):
        BenchmarkConfig.read(path)


def test_the_papers_numbers_must_be_of_models(tmp_path) -> None:
    paper = "\n[tasks.paper]\nsource = 'somewhere'\n[tasks.paper.values]\n'{}' = {{ all = 0.6 }}\n\n[[models]]"
    config = _read(tmp_path, FAST.replace("\n[[models]]", paper.format("CNN"), 1))
    assert config.tasks[0].paper.values == {"CNN": {"all": 0.6}}
    with pytest.raises(ConfigError, match=r"'CNN-1' is no model; did you mean 'CNN'"):
        _read(tmp_path, FAST.replace("\n[[models]]", paper.format("CNN-1"), 1))


def test_absent_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: can't be read \(No such file"):
        BenchmarkConfig.read(tmp_path / "nowhere.toml")


BASELINE = '\n[[models]]\nname = "days"\nbaseline = "days_logistic"\n'


def test_what_validation_people_do_not_decide(tmp_path) -> None:
    config = _read(tmp_path, FAST + BASELINE + "threshold = 0.5\nfit_on_validation = true\n")
    assert (config.models[-1].threshold, config.models[-1].fit_on_validation) == (0.5, True)
    assert (config.models[0].threshold, config.models[0].fit_on_validation) == (None, False)
    for wrong, message in (
        ("fit_on_validation = true\n", "fit_on_validation: is true, though validation people decide something"),
        ("threshold = 1.5\n", "threshold: is 1.5, expected a probability"),
        ("threshold = 1\n", "threshold: is 1, expected a number"),
    ):
        with pytest.raises(ConfigError, match=message):
            _read(tmp_path, FAST + BASELINE + wrong)
    with pytest.raises(ConfigError, match="validation people decide something"):
        _read(tmp_path, FAST + '\n[[models]]\nname = "net"\nthreshold = 0.5\nfit_on_validation = true\n')


def test_seeds_of_a_task(tmp_path) -> None:
    config = _read(tmp_path, FAST.replace('name = "label"', 'name = "label"\nseeds = [1]'))
    assert config.tasks[0].seeds == (1,) and config.seeds == (0, 1)
    with pytest.raises(ConfigError, match="holds 7, which is not among"):
        _read(tmp_path, FAST.replace('name = "label"', 'name = "label"\nseeds = [7]'))
