"""The text of --search as dimensions: what is meant is drawn, what can't be meant is refused."""

from __future__ import annotations

from typing import Any

import pytest
from absl import flags

from pat_keras.apps.flags import define_finetune, finetune_config
from pat_keras.config import FinetuneConfig
from pat_keras.errors import ConfigError
from pat_keras.evaluation.search_space import default_search, flag_lines, read_space, values_of


class _Asked:
    """A trial that answers with what it was asked."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> Any:
        return ("float", low, high, log)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> Any:
        return ("int", low, high, log)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("head_learning_rate=log:1e-5:1e-2", ("float", 1e-5, 1e-2, True)),
        ("encoder_learning_rate=log:1e-6:1e-3", ("float", 1e-6, 1e-3, True)),
        ("dropout=float:0:0.5", ("float", 0.0, 0.5, False)),
        ("epochs=int:2:9", ("int", 2, 9, False)),
        ("batch_size=log:8:64", ("int", 8, 64, True)),
        ("batch_size=choice:8,16", (8, 16)),
        ("augment_days=choice:true,false", (True, False)),
        ("schedule_epochs=choice:none,30", (None, 30)),
        ("schedule=choice:constant, cosine", ("constant", "cosine")),
    ],
)
def test_what_is_asked_of_a_trial(text: str, asked: tuple[Any, ...]) -> None:
    (dimension,) = read_space([text], FinetuneConfig())
    assert dimension.suggest(_Asked()) == asked
    (again,) = read_space([str(dimension)], FinetuneConfig())
    assert again == dimension


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (["learning_rate=log:1e-5:1e-2"], r"there is no setting 'learning_rate' \(did you mean"),
        (["head_learning_rate"], "expected NAME=float:LOW:HIGH"),
        (["head_learning_rate=1e-5"], "expected NAME=float:LOW:HIGH"),
        (["head_learning_rate=log:1e-2:1e-5"], "two numbers, the lower one first"),
        (["head_learning_rate=log:0:1e-2"], "finite numbers, above 0"),
        (["head_learning_rate=float:1e-5:inf"], "finite numbers"),
        (["head_learning_rate=int:1:2"], "is no whole number"),
        (["head_learning_rate=log:a:b"], "'a' is no value of head_learning_rate"),
        (["epochs=float:1:2"], "expected NAME=float"),
        (["epochs=int:0:3"], "with epochs 0: epochs is 0, expected at least 1"),
        (["dropout=float:0:1"], "with dropout 1.0: dropout is 1.0"),
        (["schedule=log:1:2"], "schedule has choices"),
        (["schedule=choice:cosine,linear"], "with schedule linear: schedule is 'linear'"),
        (["schedule=choice:cosine"], "found 1 choices, expected two or more"),
        (["augment_days=choice:true,maybe"], "'maybe' is no value of augment_days"),
        (["dropout=float:0:0.5", "dropout=float:0:0.1"], "dropout is there 2 times"),
        (["test_fraction=float:0.1:0.5"], "not to be chosen by its result"),
        (["seed=int:0:9"], "not to be chosen by its result"),
        (["learn_score=choice:phq9,gad7"], "not to be chosen by its result"),
    ],
)
def test_refused(search: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_space(search, FinetuneConfig())


def test_settings_of_pat_alone_are_refused_for_other_models() -> None:
    with pytest.raises(ConfigError, match="which is for PAT alone"):
        read_space(["layer_decay=float:0.6:1"], FinetuneConfig(model="lstm"))


@pytest.mark.parametrize(
    "changes", [{}, {"weights": "pat_small_29k"}, {"mode": "linear_probe"}, {"model": "lstm"}, {"task": "regression"}]
)
def test_the_default_space_starts_at_the_recipe(changes: dict[str, Any]) -> None:
    config = FinetuneConfig(**changes)
    space = read_space([], config)
    assert [str(dimension) for dimension in space] == [str(d) for d in read_space(default_search(config), config)]
    first = values_of(config, space)
    assert first["head_learning_rate"] == 5e-4
    assert first["batch_size"] == 16
    assert first.get("encoder_learning_rate", config.encoder_rate) == config.encoder_rate
    assert "weight_decay" not in first  # 0, which is on no logarithmic scale


def test_a_solved_probe_is_searched_for_what_it_has() -> None:
    config = FinetuneConfig(mode="logistic_probe")
    space = read_space([], config)
    assert [dimension.name for dimension in space] == ["pooling", "standardize"]
    assert values_of(config, space) == {"pooling": "mean"}  # auto, the scaling of the weights, is not among the choices


def test_flags_give_the_config_back() -> None:
    config = FinetuneConfig(
        head_learning_rate=0.1 + 0.2, baseline=False, augment_days=True, repair_fixed_scaling=(2.5, 2.0), epochs=3,
        subgroups=("sex", "age"), encoder_learning_rate=1e-5, schedule="constant",
    )  # fmt: skip
    values = flags.FlagValues()
    define_finetune(values)
    values(["pat-finetune", *flag_lines(config).splitlines()])
    assert finetune_config(values) == config
    assert flag_lines(FinetuneConfig()) == "--weights=\n"  # without which the command takes those of the package
