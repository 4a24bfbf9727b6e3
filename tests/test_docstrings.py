"""Examples in docstrings do what they say, and every public name that does something has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import pkgutil

import pytest

import pat_keras as pat

# What has no example: constants and errors, which say it themselves; tuning and pretraining, which take long; the two
# configs that are in the examples of others.
WITHOUT = {
    "__version__",
    "BASELINES",
    "PRESETS",
    "tune",
    "run_pretraining",
    "EmbedConfig",
    "ExplainSettings",
    "FinetuneConfig",
    "PretrainConfig",
}


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    for module in pkgutil.walk_packages(pat.__path__, "pat_keras."):
        if ">>>" in pathlib.Path(module.module_finder.find_spec(module.name).origin).read_text(encoding="utf-8"):
            found += [test for test in finder.find(importlib.import_module(module.name)) if test.examples]
    return found


EXAMPLES = _examples()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A folder with two runs that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    for seed, name in enumerate(("mine", "other")):
        config = pat.FinetuneConfig(epochs=1, mode="linear_probe", baseline=False, seed=seed, split_seed=0)
        pat.finetune(pat.simulate_cohort(n_people=40, days=1), "label", config, out=folder / "runs" / name)
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example(example: doctest.DocTest, folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    example.globs["tmp_path"] = tmp_path
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=said.append)
    assert runner.tries == len(example.examples)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("name", sorted(set(pat.__all__) - WITHOUT))
def test_public_name_has_an_example(name: str) -> None:
    value = getattr(pat, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    home = f"{value.__module__}.{value.__name__}"
    assert [example.name for example in EXAMPLES if example.name.startswith(home)], f"{home} has no example"
