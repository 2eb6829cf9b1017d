"""The command line of the data sets: `python -m study.datasets` lists them, `... fetch NAME` brings one.

`... check DIR` reads every image of a folder of one's own, `... check FILE.npz` arrays of one's own.

Only `fetch` uses the network. Listing imports neither torch nor scikit-learn nor Ray.
"""

import argparse
import http.client
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.table import Table

from study.datasets import (
    DATASETS,
    ImageData,
    StreamedData,
    find_dataset,
    load_dataset,
    missing_message,
    resolve_data_dir,
)
from study.datasets.check import Inspection, held_copies
from study.datasets.image_folder import FOLDER, ImageFolder
from study.datasets.own_arrays import SUFFIX, OwnArrays
from study.terminal import BAD_INPUT, PIPED_WIDTH, Parser, exit_code, listing_console, plural

IN_FOLDER = "it holds train/ and val/, by itself or in imagefolder/"
NETWORK_PATIENCE_SECONDS = 30.0  # for a silent server; torchvision would wait for ever
DESCRIPTION = "Lists the data sets and says which are here. `fetch` brings one, `check` reads all of your own images."
EXAMPLES = """\
examples:
  python -m study.datasets                                          which sets there are, and which are here
  python -m study.datasets fetch cifar10                            download into $STUDY_DATA_DIR, else ./data
  python -m study.datasets fetch svhn --data-dir ~/sets             download into another folder ...
  python -m study.run depth_sweep --dataset svhn --data-dir ~/sets  ... and train on it
  python -m study.datasets check ~/photographs                      read all images of a folder: damaged ones, copies
  python -m study.datasets check mine.npz                           read own arrays: what they are taken for, copies

digits needs no download. Sets that torchvision has already unpacked in the folder are used as they are, once their
checksums agree. Validation images are always taken out of the official train set; the official test set stays whole.

imagefolder is a folder of your own: DIR/imagefolder or DIR itself holds train/CLASS/*.jpg and val/CLASS/*.jpg (valid
and validation do too), with jpg, jpeg, png, ppm, bmp, pgm, tif, tiff or webp images. Names that begin with a dot and
what operating systems leave are skipped; what is left out is counted. The same image in train and val is refused.
Images are seen as a viewer shows them; STUDY_MAX_IMAGE_PIXELS=PIXELS allows very large ones. Letters and arrows want
`--set augmentation=crop`, which mirrors none.

npz is a file of your own, FILE.npz or the only one in a folder, with X_train, y_train, X_test, y_test and perhaps X_val
and y_val: docs/own-data.md says which forms are read.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code, 2 where the user must change something."""
    arguments = build_parser().parse_args(argv)
    return exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "check":
        return _check(arguments.folder or arguments.data_dir)
    if arguments.command is None:
        _print_listing(arguments.data_dir)
    else:
        print(fetch(arguments.name, arguments.data_dir))
    return 0


def _check(folder: Path | None) -> int:
    """Read a folder's images, or a file's arrays; BAD_INPUT where some are damaged."""
    data = load_dataset("npz" if folder is not None and folder.suffix == SUFFIX else FOLDER, folder)
    if isinstance(data, ImageData):
        print(data.summary)
        print(f"{plural(held_copies(data), 'image')} also in another split")
        return 0
    inspection = Inspection(data)
    for line in inspection.lines():
        print(line, flush=True)
    return BAD_INPUT if inspection.damaged else 0


def build_parser() -> argparse.ArgumentParser:
    """The command line's options; `python -m study.datasets --help` shows them."""
    parser = Parser(
        "python -m study.datasets",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder_help = "folder of the archives (default: $STUDY_DATA_DIR, else ./data)"
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help=folder_help)
    command = parser.add_subparsers(dest="command", metavar="fetch NAME | check [DIR|FILE.npz]", title="commands")
    fetch_parser = command.add_parser("fetch", help="download one set", description="Downloads one data set.")
    fetch_parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(DATASETS)}")
    # SUPPRESS: its default must not overwrite a --data-dir given before `fetch`.
    fetch_parser.add_argument("--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=folder_help)
    about = "Reads every image of a folder or .npz file: names the damaged ones and those that are in two splits."
    check_parser = command.add_parser("check", help="read all of your own images", description=about)
    check_parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR|FILE.npz", help=f"instead of --data-dir; of a folder: {IN_FOLDER}"
    )
    check_parser.add_argument("--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=folder_help)
    return parser


def fetch(name: str, data_dir: Path | None = None) -> str:
    """Bring one set with torchvision, which checks what it downloads; the line that says where it is now.

    Raises:
        ValueError: The name is unknown, or the set cannot be had: one line that says why.
    """
    dataset, folder = find_dataset(name), resolve_data_dir(data_dir)
    if not dataset.source.files(folder):
        return f"{name}: embedded, nothing to fetch"
    if isinstance(dataset.source, ImageFolder | OwnArrays):
        message = missing_message(name, folder)
        if message is not None:
            raise ValueError(f"there is nothing to fetch: {message}")
        return f"{name}: here, in {dataset.place(folder)}"
    try:
        with _impatient_sockets():
            dataset.source.fetch(folder)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        other_way = f" ({dataset.other_way})" if dataset.other_way else ""
        advice = f"check the network and the folder {folder}{other_way}"
        raise ValueError(f"{name} could not be fetched: {reason}; {advice}") from error
    return f"{name}: here, in {dataset.place(folder)}"


@contextmanager
def _impatient_sockets() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_PATIENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _print_listing(data_dir: Path | None) -> None:
    console = listing_console()
    console.print(_table(data_dir, wide=console.width >= PIPED_WIDTH), soft_wrap=True)
    print(f"Looked in {resolve_data_dir(data_dir)}")
    if DATASETS[FOLDER].is_here(data_dir):
        print(_folder_line(data_dir))
    print("Get one: python -m study.datasets fetch NAME [--data-dir DIR]")


def _folder_line(data_dir: Path | None) -> str:
    """What was found in the user's own folder, or why it cannot be used."""
    try:
        data = load_dataset(FOLDER, data_dir)
    except ValueError as error:
        return str(error)
    assert isinstance(data, StreamedData), "the folder's set is the streamed one"
    return data.summary


def _table(data_dir: Path | None, *, wide: bool) -> Table:
    """One row a set; the last two columns, which only describe, are left out on a narrow terminal."""
    headings = ("name", "train/val/test", "classes", "size", "licence", "here", "pixels", "what")
    shown = len(headings) if wide else len(headings) - 2
    table = Table(*headings[:shown], box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, dataset in DATASETS.items():
        numbers = (
            f"{dataset.train_images:,}/{dataset.validation_images:,}/{dataset.test_images:,}",
            str(dataset.num_classes),
        )
        row = (
            name,
            *(("your own", "") if dataset.is_own else numbers),
            dataset.size,
            dataset.licence,
            "yes" if dataset.is_here(data_dir) else "no",
            "" if dataset.is_own else f"{dataset.channels}x{dataset.image_size}x{dataset.image_size}",
            dataset.title,
        )
        table.add_row(*row[:shown])
    return table


if __name__ == "__main__":
    sys.exit(main())
