"""``bntt data``: prepare datasets once, check them, and say what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from bntt.data.prepared import Manifest


class Name(str):
    """The name of a dataset that is prepared from files."""


NAMES = tyro.constructors.ConstructorRegistry()
"""Knows which names there are when the verbs are parsed; ``bntt --help`` would wait for torch."""


@NAMES.primitive_rule
def _names(
    wanted: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Name] | None:
    if wanted.type is not Name:
        return None
    from bntt.data.catalog import DATASETS

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(DATASETS)}}}",
        instance_from_str=lambda args: Name(args[0]),
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda name: [name],
        choices=tuple(DATASETS),
    )


def prepare(
    name: tyro.conf.Positional[Name],
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    download: bool = False,
    allow_modified_data: bool = False,
) -> None:
    """Read a dataset from its own files, check it against published checksums, and write the tensors training reads.

    Example: bntt data prepare cifar10 --from ~/Downloads/cifar-10-binary.tar.gz

    Args:
        name: which dataset; "images" is any folder of <split>/<class>/<image>.
        source: its file or folder.
        download: fetch it over https from its distributor, where a checksum is published.
        allow_modified_data: go on where a published checksum differs; results are then marked.
    """
    from bntt.cli import console
    from bntt.data.catalog import prepare as prepare_dataset

    with console.progress_of(f"preparing {name}") as progress:
        folder, manifest = prepare_dataset(
            name, source, download=download, allow_modified=allow_modified_data, progress=progress
        )
    console.line(_describe(name, folder, manifest))


def verify(name: tyro.conf.Positional[Name], source: Annotated[Path | None, tyro.conf.arg(name="from")] = None) -> None:
    """Compare a prepared dataset with the checksums recorded when it was prepared.

    Example: bntt data verify cifar10

    Args:
        name: which dataset.
        source: for "images", the folder that it was prepared from.
    """
    from bntt.cli import console
    from bntt.data.catalog import prepared_folder
    from bntt.data.errors import DataError
    from bntt.data.prepared import read_manifest, verify_prepared

    folder = prepared_folder(name, source)
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{name} is not prepared (looked in {folder}): bntt data prepare {name} --from PATH")
    verify_prepared(folder, manifest, lambda part: console.line(f"{folder}/{part}.safetensors: unchanged"))


def where() -> None:
    """Say which datasets are prepared, which lie where they are found, and which are missing.

    Example: bntt data where
    """
    from bntt.cli import console
    from bntt.data.catalog import BUILT_IN, DATASETS, locate, prepared_folder
    from bntt.data.prepared import cache_root, read_manifest

    for name in BUILT_IN:
        console.line(f"{name}: built in")
    for name in DATASETS:
        folders = sorted(cache_root().glob("images-*")) if name == "images" else [prepared_folder(name)]
        manifests = [(folder, manifest) for folder in folders if (manifest := read_manifest(folder)) is not None]
        for folder, manifest in manifests:
            console.line(_describe(name, folder, manifest))
        if not manifests:
            found = locate(name, None)
            console.line(f"{name}: " + (f"not prepared, found in {found}" if found else "not here"))


def _describe(name: str, folder: Path, manifest: Manifest) -> str:
    counts = " + ".join(f"{count:,}" for count in manifest.images.values())
    shape = "x".join(map(str, manifest.shape))
    return f"{name}: {counts} images of {shape}, {len(manifest.classes)} classes, source {manifest.check}, in {folder}"


VERBS: dict[str, Callable[..., None]] = {"prepare": prepare, "verify": verify, "where": where}


def data() -> None:
    """Prepare, verify and find datasets: bntt data prepare|verify|where.

    Example: bntt data where
    """
