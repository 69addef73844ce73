"""The datasets by name: where they may lie, how they are read, and what their distributors publish about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bntt.data.download import download
from bntt.data.errors import DataError
from bntt.data.images.cifar import read_cifar10, read_cifar100
from bntt.data.images.image_folder import fingerprint, read_images
from bntt.data.images.image_set import Splits
from bntt.data.images.mnist import content_digest, fashion_mnist_bundled, find, read_fashion_mnist, read_mnist
from bntt.data.images.synthetic import synthetic
from bntt.data.images.tiny_imagenet import read_tiny_imagenet
from bntt.data.prepared import (
    Manifest,
    cache_root,
    load_prepared,
    manifest_of,
    read_manifest,
    write_prepared,
)
from bntt.io.files import digest, digest_of_text

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """A file as its distributor describes it."""

    url: str
    md5: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Dataset:
    """One dataset that is prepared from files."""

    expects: str
    """What ``--from`` takes."""
    read: Callable[[Path, Progress], Splits]
    """Source and progress to the two parts; what reads whole files has no progress to report."""
    published: tuple[Published, ...] = ()
    """Its files for download, with their checksums."""
    sha256: tuple[str, ...] = ()
    """Of the unpacked files, where they are known: a repacked archive has other bytes but the same content."""
    usual: tuple[Path, ...] = ()
    """Where a system package puts it."""


def _idx(base: str, *rows: tuple[str, str, int]) -> tuple[Published, ...]:
    return tuple(Published(f"{base}/{name}-ubyte.gz", md5, size) for name, md5, size in rows)


MNIST_FILES = _idx(
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    ("train-images-idx3", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9912422),
    ("train-labels-idx1", "d53e105ee54ea40749a09fcbcd1e9432", 28881),
    ("t10k-images-idx3", "9fb629c4189551a2d022fa330f9573f3", 1648877),
    ("t10k-labels-idx1", "ec29112dd5afa0611ce80d1b7f02629c", 4542),
)
FASHION_FILES = _idx(
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    ("train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26421880),
    ("train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe", 29515),
    ("t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79", 4422102),
    ("t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310", 5148),
)
FASHION_SHA256 = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
CIFAR_BASE = "https://www.cs.toronto.edu/~kriz"

DATASETS: dict[str, Dataset] = {
    "cifar10": Dataset(
        "cifar-10-binary.tar.gz or its folder cifar-10-batches-bin",
        lambda source, progress: read_cifar10(source),
        (Published(f"{CIFAR_BASE}/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170052171),),
    ),
    "cifar100": Dataset(
        "cifar-100-binary.tar.gz or its folder cifar-100-binary",
        lambda source, progress: read_cifar100(source),
        (Published(f"{CIFAR_BASE}/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168513733),),
    ),
    "fashion-mnist": Dataset(
        "a folder with the four IDX files, gzipped or not",
        lambda source, progress: read_fashion_mnist(source),
        FASHION_FILES,
        FASHION_SHA256,
        usual=(Path("/usr/share/datasets/fashion-mnist"),),
    ),
    "images": Dataset(
        "a folder with train and test, each a folder or a zip of <class>/<image>, or one zip of both",
        read_images,
    ),
    "mnist": Dataset(
        "a folder with the four IDX files, gzipped or not", lambda source, progress: read_mnist(source), MNIST_FILES
    ),
    "tiny-imagenet": Dataset("the unpacked folder tiny-imagenet-200", read_tiny_imagenet),
}
"""What ``bntt data prepare`` knows."""

BUILT_IN: dict[str, Callable[[], Splits]] = {"fashion-mnist-bundled": fashion_mnist_bundled, "synthetic": synthetic}
"""What needs no files."""


def prepared_folder(name: str, root: Path | None = None) -> Path:
    """Where the prepared dataset is or will be; image folders have one each, named after their place."""
    if name != "images":
        return cache_root() / name
    if root is None:
        raise DataError("the dataset 'images' needs the folder that it is in")
    place = root.expanduser().resolve()
    return cache_root() / f"images-{place.name}-{digest_of_text(str(place))[:12]}"


def prepare(
    name: str,
    source: Path | None = None,
    *,
    download: bool = False,
    allow_modified: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Manifest]:
    """Read a dataset from its files, check it, and write the tensor files that training uses.

    Args:
        source: its file or folder; where left out, the usual places are tried, then ``download``.
        allow_modified: go on where a published checksum does not match; the manifest then says "modified".
        progress: called with ``(done, total)``: bytes while downloading, images while decoding.

    Raises:
        DataError: if the source is missing, damaged or not what was published.
    """
    dataset = DATASETS[name]
    found = locate(name, source)
    if found is None and download:
        found = _download(name, dataset, progress)
    if found is None:
        raise DataError(_how_to_get(name, dataset))
    check = check_published(dataset, found)
    if check == "modified" and not allow_modified:
        raise DataError(
            f"{found} is not the published {name} (its checksum differs): get it again, or pass --allow-modified-data"
        )
    splits = dataset.read(found, progress)
    folder = prepared_folder(name, found)
    listing = fingerprint(found) if name == "images" else ""
    source_name = found.resolve()
    return folder, write_prepared(folder, splits, name=name, source=source_name, check=check, fingerprint=listing)


def locate(name: str, source: Path | None) -> Path | None:
    """The source given, or the first usual place that exists.

    Raises:
        DataError: if a source is given and is not there, or is an empty folder.
    """
    if source is None:
        return next((path for path in DATASETS[name].usual if path.is_dir()), None)
    source = source.expanduser()
    if not source.exists() or (source.is_dir() and not any(source.iterdir())):
        state = "is empty" if source.exists() else "does not exist"
        raise DataError(f"{source} {state}: {name} is read from {DATASETS[name].expects}")
    return source


def check_published(dataset: Dataset, source: Path) -> str:
    """How the very files that will be read compare with what is published: "published", "modified" or "unchecked".

    An archive is compared by its checksum whatever its name; a folder of several files file by file, packed or not,
    by their checksum or, where it is known, by that of their content.
    """
    if not dataset.published:
        return "unchecked"
    if source.is_file() and len(dataset.published) == 1:
        return "published" if digest(source, "md5") == dataset.published[0].md5 else "modified"
    if source.is_file() or len(dataset.published) == 1:
        return "unchecked"  # an archive's unpacked files, for which nothing is published, or no source at all
    known = dataset.sha256 or ("",) * len(dataset.published)
    rows = zip(dataset.published, known, strict=True)
    return max((_check_file(find(source, item.name.removesuffix(".gz")), item, sha) for item, sha in rows), key=WORSE)


WORSE = ("published", "unchecked", "modified").index


def _check_file(path: Path, item: Published, sha256: str) -> str:
    packed = path.suffix == ".gz"
    if packed and digest(path, "md5") == item.md5:
        return "published"
    if not sha256:
        return "modified" if packed else "unchecked"
    return "published" if content_digest(path) == sha256 else "modified"


def open_dataset(
    name: str, root: Path | None = None, progress: Progress = lambda done, total: None
) -> tuple[Splits, Manifest]:
    """The dataset for training: made, or prepared earlier, or prepared now from where it is known to lie.

    Raises:
        DataError: if it is nowhere, with the command that gets it; or if what was prepared is not what ``root`` holds.
    """
    if name in BUILT_IN:
        splits = BUILT_IN[name]()
        return splits, manifest_of(splits, name)
    folder = prepared_folder(name, root)
    manifest = read_manifest(folder)
    if manifest is None:
        folder, manifest = prepare(name, root, progress=progress)
    elif root is not None:
        _check_source(name, root.expanduser(), manifest)
    return load_prepared(folder, manifest), manifest


def _check_source(name: str, root: Path, manifest: Manifest) -> None:
    again = f"bntt data prepare {name} --from {root}"
    if str(root.resolve()) != manifest.source:
        raise DataError(f"{name} was prepared from {manifest.source}, not from {root}; to change that: {again}")
    if manifest.fingerprint and root.exists() and fingerprint(root) != manifest.fingerprint:
        raise DataError(f"the files in {root} have changed since they were prepared: {again}")


def _download(name: str, dataset: Dataset, progress: Progress) -> Path:
    if not dataset.published:
        raise DataError(
            f"{name} has no published checksum to download it by: get {dataset.expects}, pass it with --from"
        )
    folder = cache_root() / "downloads" / name
    for item in dataset.published:
        target = folder / item.name
        if not (target.is_file() and digest(target, "md5") == item.md5):
            download(item.url, target, md5=item.md5, size=item.size, progress=progress)
    return folder if len(dataset.published) > 1 else folder / dataset.published[0].name


def _how_to_get(name: str, dataset: Dataset) -> str:
    ways = [f"bntt data prepare {name} --from PATH, where PATH is {dataset.expects}"]
    if dataset.published:
        ways.append(f"bntt data prepare {name} --download")
    if dataset.usual:
        ways.append(f"install a package that puts it in {dataset.usual[0]} (Debian: dataset-fashion-mnist)")
    return f"{name} is not here: " + "; or ".join(ways)
