#!/usr/bin/env python3
"""Holds the media check's verdicts on other projects' test files against Pillow.

Needs network (Debian's source packages, PyPI's Pillow) and a built tree:

    tests/corpus/compare.py FOLDER            fetches into FOLDER, judges, compares
    tests/corpus/compare.py FOLDER --offline  uses what is there

Prints a table a format, and every file on which the two differ. A "false yes" is a file that we deliver and Pillow
cannot decode to its last frame, or that is of one colour; a "false no" is the reverse.
"""
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

PACKAGES = ["pillow", "libwebp"]
KINDS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "GIF": "gif", "WEBP": "webp"}
MAGIC = [(b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif")]
MAX_PIXELS = 16383 * 16383


def fetch(folder):
    lists = folder / "sources.list"
    lists.write_text("deb-src http://deb.debian.org/debian bookworm main\n")
    options = ["-o", f"Dir::Etc::sourcelist={lists}", "-o", "Dir::Etc::sourceparts=-"]
    subprocess.run(["apt-get", *options, "update", "-qq"], check=True)
    for package in PACKAGES:
        subprocess.run(["apt-get", *options, "source", "-qq", "--download-only", package], cwd=folder, check=True)
    for archive in folder.glob("*.orig.tar.*"):
        if not archive.name.endswith(".asc"):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv/bin/pip", "install", "-q", "pillow"], check=True)


def kind_of(path):
    head = path.read_bytes()[:12]
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in MAGIC if head.startswith(magic)), None)


def pillow(path):
    """What Pillow makes of it: fit, flat or broken, in words."""
    import warnings

    from PIL import Image, ImageSequence

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(path, formats=list(KINDS)) as image:
            if image.width * image.height > MAX_PIXELS:
                return "unfit", "too large"
            colours = set()
            for frame in ImageSequence.Iterator(image) if image.format != "MPO" else [image]:
                found = frame.convert("RGBA").getcolors(2)
                colours.update([None, 0] if found is None else [colour for _, colour in found])
            small = image.width * image.height < 16
            return ("fit", "") if len(colours) > 1 or small else ("unfit", "one colour")
    except Exception as error:  # A decoder's own errors are of every type.
        return "unfit", f"{type(error).__name__}: {error}"


def ours(files, folder):
    root = Path(__file__).resolve().parents[2]
    (folder / "files.txt").write_text("".join(f"{path}\n" for path in files))
    command = ["cargo", "test", "--quiet", "--test", "corpus", "--", "--nocapture"]
    environment = os.environ | {"CORPUS": str(folder / "files.txt")}
    output = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in output.splitlines() if line.startswith("VERDICT")]
    return {row[3]: (row[1], row[4], int(row[2])) for row in rows}


def main():
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if "--offline" not in sys.argv:
        fetch(folder)
    sys.path[:0] = [str(path) for path in folder.glob("venv/lib/python*/site-packages")]
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "venv" not in path.parts)
    kinds = {str(path): kind_of(path) for path in found}
    files = [path for path, kind in kinds.items() if kind]
    verdicts = ours(files, folder)
    counts, differing = Counter(), []
    for path in files:
        (mine, why, took), (theirs, reason) = verdicts[path], pillow(Path(path))
        outcome = mine if mine == theirs else "false yes" if mine == "fit" else "false no"
        counts[kinds[path], outcome] += 1
        counts["all", outcome] += 1
        if mine != theirs:
            differing.append(f"{outcome}: {Path(path).relative_to(folder)}: {why if mine == 'unfit' else reason}")
    columns = ["fit", "unfit", "false yes", "false no"]
    print(f"{'':6}" + "".join(f"{column:>11}" for column in columns))
    for kind in ["png", "jpeg", "gif", "webp", "all"]:
        print(f"{kind:6}" + "".join(f"{counts[kind, column]:>11}" for column in columns))
    print("\n".join(differing))


if __name__ == "__main__":
    main()
