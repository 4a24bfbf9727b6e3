"""A file that is not exactly an official one is refused, with its path and the place in it, and never crashes us."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from pat_keras.checkpoints.layout import ORDER_ATTRIBUTE, RATIO_ATTRIBUTE
from pat_keras.checkpoints.reader import read
from pat_keras.config import EncoderConfig
from pat_keras.errors import CheckpointError
from tests.checkpoints.official_files import edit, make_file, rename_in_list
from tests.models.reference import TINY

BLOCK = "encoder_layer_1_transformer"
QUERY = "encoder_layer_1_attention/query/kernel:0"
QUERY_PATH = f"{BLOCK}/{QUERY}"
FF1_PATH = f"{BLOCK}/encoder_layer_1_ff1/kernel:0"

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make_file(tmp_path_factory.mktemp("whole") / "encoder.h5")


@pytest.fixture
def path(_whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of a whole file."""
    return pathlib.Path(shutil.copy(_whole, tmp_path / "encoder.h5"))


def _refused(path: pathlib.Path, place: str, config: EncoderConfig | None = TINY) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path, config)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and place in message and "\n" not in message
    assert "expected" in message
    return message


def test_a_whole_file(path: pathlib.Path) -> None:
    contents = read(path, TINY)
    assert (contents.kind, contents.config, contents.order) == ("encoder", TINY, "original")
    assert contents.arrays[QUERY_PATH].shape == (8, 3, 8)


# Tensors that are not what they should be.


def _replace(path: str, values: object, **options: object) -> Change:
    def change(file: h5py.File) -> None:
        del file[path]
        file.create_dataset(path, data=values, **options)

    return change


def _unwritten(**options: object) -> Change:
    """A tensor that a program was stopped in writing: HDF5 gives zeros for what is not there."""

    def change(file: h5py.File) -> None:
        del file[QUERY_PATH]
        dataset = file.create_dataset(QUERY_PATH, (8, 3, 8), "f4", **options)
        if options:
            dataset[:4] = 1.0

    return change


def _poke(path: str, value: float) -> Change:
    def change(file: h5py.File) -> None:
        values = file[path][()]
        values.flat[5] = value
        file[path][...] = values

    return change


def _remove(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file[BLOCK].attrs["weight_names"] = [n for n in file[BLOCK].attrs["weight_names"] if n != QUERY]


def _add(file: h5py.File) -> None:
    file[f"{BLOCK}/extra:0"] = np.zeros(3, np.float32)
    file[BLOCK].attrs["weight_names"] = [*file[BLOCK].attrs["weight_names"], "extra:0"]


def _rename(file: h5py.File) -> None:
    file.move(QUERY_PATH, QUERY_PATH.replace("query", "querry"))
    rename_in_list(file[BLOCK], QUERY, QUERY.replace("query", "querry"))


SHAPE = (8, 3, 8)
TENSORS: dict[str, tuple[Change, str, str]] = {
    "missing": (_remove, f"missing {QUERY_PATH}", "exactly the 34"),
    "extra": (_add, f"not known {BLOCK}/extra:0", "exactly the 34"),
    "renamed": (_rename, QUERY_PATH, "querry"),
    "transposed": (
        _replace(FF1_PATH, np.zeros((20, 8), np.float32)),
        FF1_PATH,
        "shape (20, 8), expected shape (8, 20)",
    ),
    "swapped axes": (_replace(QUERY_PATH, np.zeros((8, 8, 3), np.float32)), QUERY_PATH, "expected shape (8, 3, 8)"),
    "flat": (_replace(QUERY_PATH, np.zeros(192, np.float32)), QUERY_PATH, "shape (192,)"),
    "scalar": (_replace(QUERY_PATH, np.float32(1)), QUERY_PATH, "shape ()"),
    "no values": (_replace(QUERY_PATH, h5py.Empty("f4")), QUERY_PATH, "without values"),
    "float64": (_replace(QUERY_PATH, np.zeros(SHAPE, np.float64)), QUERY_PATH, "float64, expected type float32"),
    "float16": (_replace(QUERY_PATH, np.zeros(SHAPE, np.float16)), QUERY_PATH, "float16"),
    "int32": (_replace(QUERY_PATH, np.zeros(SHAPE, np.int32)), QUERY_PATH, "int32"),
    "text": (_replace(QUERY_PATH, np.full(SHAPE, b"x")), QUERY_PATH, "type"),
    "text of any length": (_replace(QUERY_PATH, np.full(SHAPE, "x", object)), QUERY_PATH, "type object"),
    "pairs": (_replace(QUERY_PATH, np.zeros(SHAPE, "f4,f4")), QUERY_PATH, "type"),
    "never written": (_unwritten(), QUERY_PATH, "never written"),
    "half written": (_unwritten(chunks=(4, 3, 8)), QUERY_PATH, "never written"),
    "NaN": (_poke(QUERY_PATH, np.nan), QUERY_PATH, "1 values that are NaN or infinite"),
    "infinity": (_poke(QUERY_PATH, -np.inf), QUERY_PATH, "1 values that are NaN or infinite"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_wrong_tensors(case: str, path: pathlib.Path) -> None:
    change, place, found = TENSORS[case]
    assert found in _refused(edit(path, change), place)


def test_float32_of_the_other_byte_order(path: pathlib.Path) -> None:
    """It is float32 all the same; a machine of the other kind writes it."""
    values = read(path, TINY).arrays[QUERY_PATH]
    edit(path, _replace(QUERY_PATH, values, dtype=">f4"))
    np.testing.assert_array_equal(read(path, TINY).arrays[QUERY_PATH], values)


def test_compressed_tensors_are_read(path: pathlib.Path) -> None:
    values = read(path, TINY).arrays[QUERY_PATH]
    edit(path, _replace(QUERY_PATH, values, compression="gzip", shuffle=True))
    np.testing.assert_array_equal(read(path, TINY).arrays[QUERY_PATH], values)


def test_a_damaged_chunk(path: pathlib.Path) -> None:
    edit(path, _replace(QUERY_PATH, np.ones(SHAPE, np.float32), compression="gzip"))
    with h5py.File(path) as file:
        chunk = file[QUERY_PATH].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    assert "unreadable values" in _refused(path, QUERY_PATH)


# Lists and groups that don't agree with the tensors.


def _list(change: Callable[[list[str]], list[str]], group: str = "/", attribute: str = "layer_names") -> Change:
    def apply(file: h5py.File) -> None:
        file[group].attrs[attribute] = change(list(file[group].attrs[attribute]))

    return apply


def _group_for_a_tensor(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file.create_group(QUERY_PATH)


def _tensor_for_a_group(file: h5py.File) -> None:
    del file["dense"]
    file["dense"] = np.zeros(3, np.float32)


def _delete(name: str, group: str = "/") -> Change:
    def apply(file: h5py.File) -> None:
        del file[group].attrs[name]

    return apply


def _deep(file: h5py.File) -> None:
    file.create_group("reshape/" + "/".join("abcdefghijkl"))


LISTS: dict[str, tuple[Change, str]] = {
    "a layer not listed": (_list(lambda names: [n for n in names if n != "dense"]), "dense/dense/bias:0"),
    "a layer listed but absent": (_list(lambda names: [*names, "ghost"]), "ghost"),
    "a layer listed twice": (_list(lambda names: [*names, "dense"]), "dense: found a name listed twice"),
    "an empty layer listed twice": (_list(lambda names: [*names, "inputs"]), "inputs: found a name listed twice"),
    "a layer elsewhere": (_list(lambda names: [*names, f"{BLOCK}/encoder_layer_1_ff1"]), "encoder_layer_1_ff1"),
    "no layers": (_list(lambda names: []), "weight_names don't list it"),
    "numbers for layers": (lambda file: file.attrs.__setitem__("layer_names", [1, 2]), "attribute layer_names of /"),
    "no list of layers": (_delete("layer_names"), "attribute layer_names of /"),
    "no list of tensors": (_delete("weight_names", BLOCK), f"attribute weight_names of /{BLOCK}"),
    "a tensor not listed": (_list(lambda names: names[1:], BLOCK, "weight_names"), QUERY_PATH),
    "a tensor listed but absent": (_list(lambda names: [*names, "ghost:0"], BLOCK, "weight_names"), f"{BLOCK}/ghost:0"),
    "a tensor listed twice": (_list(lambda names: [*names, QUERY], BLOCK, "weight_names"), QUERY_PATH),
    "a group for a tensor": (_group_for_a_tensor, f"{QUERY_PATH}: found a group"),
    "a tensor for a group": (_tensor_for_a_group, "dense: found no group"),
    "too deep": (_deep, "nested more than 8 deep"),
    "bytes that are no text": (lambda file: file.attrs.__setitem__("layer_names", [b"gh\xffst"]), r"'gh\udcffst'"),
    "a name of two lines": (_list(lambda names: [*names, "two\nlines"]), r"'two\nlines'"),
}


@pytest.mark.parametrize("case", LISTS)
def test_wrong_lists(case: str, path: pathlib.Path) -> None:
    change, place = LISTS[case]
    _refused(edit(path, change), place)


def test_lists_in_parts_and_of_bytes(path: pathlib.Path) -> None:
    """Keras 2 splits long lists over several attributes, and older ones hold bytes of fixed length."""

    def split(file: h5py.File) -> None:
        names = [name.encode() for name in file[BLOCK].attrs["weight_names"]]
        del file[BLOCK].attrs["weight_names"]
        file[BLOCK].attrs["weight_names0"], file[BLOCK].attrs["weight_names1"] = names[:7], names[7:]
        file.attrs["layer_names"] = [name.encode() for name in file.attrs["layer_names"]]

    expected = read(path, TINY).arrays
    found = read(edit(path, split), TINY).arrays
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


# Links, and tensors stored elsewhere.


def _other(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copy(path, path.with_name("other.h5")))


def _soft(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file[QUERY_PATH] = h5py.SoftLink("/" + QUERY_PATH.replace("query", "key"))


def _external(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file[QUERY_PATH] = h5py.ExternalLink("other.h5", QUERY_PATH)


def _external_group(file: h5py.File) -> None:
    del file[BLOCK]
    file[BLOCK] = h5py.ExternalLink("other.h5", BLOCK)


def _external_weights(file: h5py.File) -> None:
    for name in list(file):
        del file[name]
    file["model_weights"] = h5py.ExternalLink("other.h5", "/")


def _hidden_group(file: h5py.File) -> None:
    """A list that names a group outside of the weights, behind a link."""
    weights = file.create_group("model_weights")
    for name in [name for name in file if name != "model_weights"]:
        file.move(name, f"model_weights/{name}")
    weights.attrs["layer_names"] = [*file.attrs["layer_names"], "/optimizer_weights/away"]
    file["optimizer_weights/away"] = h5py.ExternalLink("other.h5", BLOCK)


def _hard(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file[QUERY_PATH] = file[QUERY_PATH.replace("query", "key")]


def _circle(file: h5py.File) -> None:
    for name in "abcdefghij":
        file[f"dense/{name}"] = file["/"]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource("other.h5", QUERY_PATH, SHAPE)
    del file[QUERY_PATH]
    file.create_virtual_dataset(QUERY_PATH, layout)


def _stored_elsewhere(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file.create_dataset(QUERY_PATH, SHAPE, "f4", external=[("other.h5", 0, 768)])


def _committed_type(file: h5py.File) -> None:
    del file[QUERY_PATH]
    file[QUERY_PATH] = np.dtype("f4")


LINKS: dict[str, tuple[Change, str]] = {
    "soft link": (_soft, f"{QUERY_PATH}: found a link (SoftLink)"),
    "external link": (_external, f"{QUERY_PATH}: found a link (ExternalLink)"),
    "external group": (_external_group, f"{BLOCK}: found a link (ExternalLink)"),
    "external weights": (_external_weights, "model_weights: found a link (ExternalLink)"),
    "external group outside": (_hidden_group, "/optimizer_weights/away: found no group"),
    "second name": (_hard, f"{QUERY_PATH}: found a second name"),
    "circle": (_circle, "found a second name"),
    "virtual tensor": (_virtual, f"{QUERY_PATH}: found a tensor stored in another file"),
    "external storage": (_stored_elsewhere, f"{QUERY_PATH}: found a tensor stored in another file"),
    "stored type": (_committed_type, f"{QUERY_PATH}: found an HDF5 Datatype"),
}


@pytest.mark.parametrize("case", LINKS)
def test_nothing_comes_from_elsewhere(case: str, path: pathlib.Path) -> None:
    change, place = LINKS[case]
    _other(path)
    _refused(edit(path, change), place)


# Kinds and sizes.


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("encoder", "dense", "dense_7"),
        ("autoencoder", "dense", "dense_128"),
        ("classifier", "encoder_model/dense", "encoder_model/dense_12"),
    ],
)
def test_an_embedding_that_keras_numbered(kind: str, old: str, new: str, tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "model.h5", kind)
    expected = read(path, TINY).arrays
    short_old, short_new = old.split("/")[-1], new.split("/")[-1]

    def renumber(file: h5py.File) -> None:
        if kind == "classifier":
            file.move(old, new)
            group = file["encoder_model"]
        else:
            file.move(f"{old}/{short_old}", f"{old}/{short_new}")
            file.move(old, new)
            rename_in_list(file, old, new, "layer_names")
            group = file[new]
        for part in ("kernel:0", "bias:0"):
            rename_in_list(group, f"{short_old}/{part}", f"{short_new}/{part}")

    found = read(edit(path, renumber), TINY).arrays
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_two_embeddings(path: pathlib.Path) -> None:
    def change(file: h5py.File) -> None:
        file.copy("dense", "dense_1")
        file.move("dense_1/dense", "dense_1/dense_1")
        file["dense_1"].attrs["weight_names"] = ["dense_1/kernel:0", "dense_1/bias:0"]
        file.attrs["layer_names"] = [*file.attrs["layer_names"], "dense_1"]

    _refused(edit(path, change), "found a second dense/dense/")


def test_a_size_that_nobody_has(path: pathlib.Path) -> None:
    message = _refused(path, "num_heads 3, num_layers 2", config=None)
    assert "small (num_heads 6" in message and "config=EncoderConfig" in message


def test_blocks_missing_at_the_end(tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "large.h5", config=EncoderConfig.large())
    assert read(path).config == EncoderConfig.large()

    def change(file: h5py.File) -> None:
        del file["encoder_layer_4_transformer"]
        file.attrs["layer_names"] = file.attrs["layer_names"][:-1]

    _refused(
        edit(path, change), "encoder_layer_1 to encoder_layer_3: found a model of num_heads 12, num_layers 3", None
    )


def test_a_block_missing_in_the_middle(tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "medium.h5", config=EncoderConfig.medium())

    def change(file: h5py.File) -> None:
        del file["encoder_layer_1_transformer"]
        file.attrs["layer_names"] = [n for n in file.attrs["layer_names"] if n != "encoder_layer_1_transformer"]

    _refused(edit(path, change), "encoder_layer_1_attention/query/kernel:0", None)


def test_another_size_than_asked_for(path: pathlib.Path) -> None:
    _refused(path, "encoder_layer_2", EncoderConfig.from_dict({**TINY.to_dict(), "num_layers": 1}))
    _refused(path, "dense/dense/kernel:0", EncoderConfig.from_dict({**TINY.to_dict(), "patch_size": 12}))


def test_files_of_other_programs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    _refused(path, "layer_names", None)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv"]
        file["conv/kernel:0"] = np.zeros(3, np.float32)
        file["conv"].attrs["weight_names"] = ["kernel:0"]
    _refused(path, "the layers conv", None)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([])
    _refused(path, "no tensor at all", None)


def test_an_order_that_nobody_knows(tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "mae.h5", "autoencoder")
    assert read(path, TINY).order == "restored"
    edit(path, lambda file: file.attrs.__setitem__(ORDER_ATTRIBUTE, "sorted"))
    _refused(path, ORDER_ATTRIBUTE)


@pytest.mark.parametrize("ratio", ["most", "1.0", "nan"])
def test_a_mask_ratio_that_is_none(ratio: str, tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "mae.h5", "autoencoder")
    edit(path, lambda file: file.attrs.__setitem__(RATIO_ATTRIBUTE, ratio))
    _refused(path, RATIO_ATTRIBUTE)


# Whole models.


def _as_whole_model(path: pathlib.Path, model_config: object) -> pathlib.Path:
    def change(file: h5py.File) -> None:
        file.create_group("model_weights")
        for name in [name for name in file if name != "model_weights"]:
            file.move(name, f"model_weights/{name}")
        file["model_weights"].attrs["layer_names"] = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["model_config"] = model_config

    return edit(path, change)


def _config_text(target_shape: str) -> str:
    return '{"config": {"layers": [{"config": {"name": "reshape", "target_shape": ' + target_shape + "}}]}}"


def test_a_whole_model(path: pathlib.Path) -> None:
    _as_whole_model(path, _config_text("[10, 6]"))
    assert read(path, TINY).arrays.keys()
    edit(path, lambda file: file.create_group("optimizer_weights"))
    assert read(path, TINY).arrays.keys()
    edit(path, lambda file: file.create_group("more"))
    _refused(path, "more: found something beside model_weights")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (_config_text("[560, 9]"), "patch size: found both 9 and 18"),
        ("{", "attribute model_config"),
        ("[]", "attribute model_config"),
        (_config_text('"x"'), "attribute model_config"),
        ("[" * 100_000, "attribute model_config"),
        (3.5, "attribute model_config"),
    ],
)
def test_a_whole_model_that_contradicts_itself(text: object, place: str, tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "model.h5", config=EncoderConfig.small())
    if isinstance(text, str) and len(text) > 60_000:
        text = text[:60_000]  # the most that an attribute holds
    _refused(_as_whole_model(path, text), place, None)


# What is no HDF5 file, or only a part of one.


def _zip(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")


NOT_HDF5: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    "absent": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "found a folder"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "text": (lambda path: path.write_text("weights"), "something else"),
    "a web page": (lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in"), "a web page"),
    "a zip archive": (_zip, "a zip archive (a .keras file is one"),
    "the signature alone": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "damaged"),
}


@pytest.mark.parametrize("case", NOT_HDF5)
def test_not_hdf5(case: str, tmp_path: pathlib.Path) -> None:
    make, place = NOT_HDF5[case]
    make(tmp_path / "weights.h5")
    _refused(tmp_path / "weights.h5", place if case != "the signature alone" else "expected a whole")


def test_cut_files(path: pathlib.Path) -> None:
    content = path.read_bytes()
    for length in [*range(1, 100, 7), *range(100, len(content), len(content) // 40), len(content) - 1]:
        path.write_bytes(content[:length])
        _refused(path, "expected")


def test_random_damage(path: pathlib.Path) -> None:
    """In a process of its own: HDF5's library is C, and could crash or loop instead of raising."""
    arguments = [sys.executable, "-m", "tests.checkpoints.damaging", str(path), "500"]
    done = subprocess.run(
        arguments, cwd=pathlib.Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 100 < int(done.stdout) < 500


def test_heaps_of_names_that_would_hang_the_library(path: pathlib.Path) -> None:
    content = path.read_bytes()
    start = content.index(b"GCOL")
    for place, size in [(start + 24, 0), (start + 24, 2**63), (start + 8, 0), (start + 8, 2**40)]:
        damaged = bytearray(content)
        damaged[place : place + 8] = size.to_bytes(8, "little")
        path.write_bytes(damaged)
        assert "heap of names at byte" in _refused(path, "don't add up")


def test_names_longer_than_their_place(path: pathlib.Path) -> None:
    content = path.read_bytes()
    heap = content.index(b"GCOL").to_bytes(8, "little")
    damaged = bytearray(content)
    place = content.index(heap)
    damaged[place - 1] = 0x7F  # the highest byte of the length
    path.write_bytes(damaged)
    _refused(path, "a name of gigabytes said to be in the heap")


def test_more_names_than_a_node_holds(path: pathlib.Path) -> None:
    damaged = bytearray(path.read_bytes())
    place = damaged.index(b"SNOD")
    damaged[place + 6 : place + 8] = b"\xff\xff"
    path.write_bytes(damaged)
    _refused(path, f"more names than fit in the symbol node at byte {place}")
