"""The package as a whole: its public names, how light it is to import, and which way its imports point."""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import pat_keras

_ROOT = pathlib.Path(pat_keras.__file__).parent
_ROOMS = ("data", "models", "checkpoints", "training", "evaluation", "apps")  # imports point back along these


def _module(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _typed_names() -> dict[str, str]:
    """Names and their modules in the block that type checkers read."""
    blocks = [node for node in _module(_ROOT / "__init__.py").body if isinstance(node, ast.If)]
    block = next(node for node in blocks if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: statement.module.removeprefix("pat_keras.")
        for statement in block.body
        for alias in statement.names
    }


def test_names_are_told_alike_in_three_places() -> None:
    assert _typed_names() == pat_keras._HOMES
    assert set(pat_keras.__all__) == set(pat_keras._HOMES) | {"__version__"}
    assert len(set(pat_keras.__all__)) == len(pat_keras.__all__)


@pytest.mark.parametrize("name", pat_keras.__all__)
def test_name_resolves(name: str) -> None:
    value = getattr(pat_keras, name)
    assert name == "__version__" or value is getattr(
        importlib.import_module(f"pat_keras.{pat_keras._HOMES[name]}"), name
    )
    assert name in dir(pat_keras)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'finetun'"):
        pat_keras.finetun  # noqa: B018


def test_import_is_light() -> None:
    program = (
        "import sys, pat_keras as pat\n"
        "pat.FinetuneConfig(), pat.EncoderConfig.small(), pat.CohortError\n"
        "print(sorted({'numpy', 'tensorflow', 'keras', 'polars', 'absl', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _imported(path: pathlib.Path) -> set[str]:
    """Modules of ours that a module imports when it is imported, but for type checkers."""
    found: set[str] = set()
    for node in _module(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pat_keras"):
            found.add(node.module)
            if node.module.count(".") == 1:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("pat_keras")}
    return found


def _room(module: str) -> int:
    parts = module.split(".")
    return _ROOMS.index(parts[1]) if len(parts) > 1 and parts[1] in _ROOMS else -1


@pytest.mark.parametrize("room", _ROOMS)
def test_imports_point_back(room: str) -> None:
    own = _ROOMS.index(room)
    wrong = [
        f"{path.relative_to(_ROOT)} imports {module}"
        for path in sorted((_ROOT / room).rglob("*.py"))
        for module in _imported(path)
        if _room(module) > own
    ]
    assert wrong == []


def test_data_knows_no_keras() -> None:
    for path in (_ROOT / "data").rglob("*.py"):
        imported = {node.module if isinstance(node, ast.ImportFrom) else alias.name
                    for node in ast.walk(_module(path)) if isinstance(node, ast.Import | ast.ImportFrom)
                    for alias in node.names}  # fmt: skip
        assert not {name for name in imported if name and name.split(".")[0] in ("keras", "tensorflow")}, path


def test_every_command_has_an_entry_point() -> None:
    setup = _ROOT.parent / "setup.cfg"
    if not setup.is_file():
        pytest.skip("the package is installed without its setup.cfg")
    text = setup.read_text(encoding="utf-8")
    for path in (_ROOT / "apps").glob("*.py"):
        if "\ndef run()" in path.read_text(encoding="utf-8"):
            assert f"pat-{path.stem} = pat_keras.apps.{path.stem}:run" in text


def test_every_package_is_installed() -> None:
    """setup.cfg lists them, since the folder weights/ is one of them under another name."""
    path = _ROOT.parent / "setup.cfg"
    if not path.is_file():
        pytest.skip("the package is installed without its setup.cfg")
    setup = configparser.ConfigParser()
    setup.read(path, encoding="utf-8")
    packages = {str(init.parent.relative_to(_ROOT.parent)).replace(os.sep, ".") for init in _ROOT.rglob("__init__.py")}
    assert set(setup["options"]["packages"].split()) == {*packages, "pat_keras.weights"}
    assert setup["options"]["package_dir"].split() == ["pat_keras.weights", "=", "weights"]
    assert setup["options.package_data"]["pat_keras.weights"].split() == ["*.md", "pat_*.h5"]
