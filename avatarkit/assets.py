"""Assets: files that avatarkit may not ship, by name, with licence, checksum and a place in ``AVATARKIT_HOME/assets``.

``find`` and ``require`` look one up, ``download`` fetches one that is public, ``add`` registers a file from disk.  Nothing is
registered that was not verified: by checksum where the publisher's file is known, else by reading it.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from avatarkit.errors import EnvironmentProblem, InputError, MissingAsset, unknown_name
from avatarkit.paths import atomic_write, explained, home
from avatarkit.types import PathArg

BLOCK = 1 << 18
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Asset:
    """name: what users type.  file: its name in the assets folder.  url: where the publisher offers it, "" where a licence must
    be accepted on ``page`` first.  sha256, size (bytes): of the published file.  reader: how a file without a known checksum
    is verified and stored."""

    name: str
    summary: str
    licence: str
    file: str
    page: str
    url: str = ""
    sha256: str = ""
    size: int = 0
    reader: Literal["", "flame", "flame-masks", "flame-landmarks"] = ""


FLAME_LICENCE = "FLAME's own licence (2023 Open: CC-BY-4.0); accept it on the page"

ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "flame", "FLAME head model: 2020 or 2023 .pkl, or an .npz in its topology", FLAME_LICENCE, "flame.npz",
            "https://flame.is.tue.mpg.de/download.php", reader="flame",
        ),
        Asset(
            "flame-masks", "FLAME's own region masks, FLAME_masks.pkl; derived by code without it", FLAME_LICENCE,
            "flame-masks.npz", "https://flame.is.tue.mpg.de/download.php", reader="flame-masks",
        ),
        Asset(
            "flame-landmarks", "mediapipe_landmark_embedding.npz, for a FLAME file that has no landmarks", FLAME_LICENCE,
            "flame-landmarks.npz", "https://flame.is.tue.mpg.de/download.php", reader="flame-landmarks",
        ),
        Asset(
            "mediapipe-face-landmarker", "face landmarks and blendshape scores, for tracking videos", "Apache-2.0",
            "face_landmarker.task", "https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker",
            "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff", 3_758_596,
        ),
        Asset(
            "lpips-alex", "AlexNet backbone of LPIPS (ImageNet)", "BSD-3-Clause", "alexnet-owt-7be5be79.pth",
            "https://pytorch.org/vision/stable/models.html",
            "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244_408_911,
        ),
        Asset(
            "lpips-vgg", "VGG-16 backbone of LPIPS (ImageNet)", "BSD-3-Clause", "vgg16-397923af.pth",
            "https://pytorch.org/vision/stable/models.html",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881,
        ),
    )
}  # fmt: skip


def asset(name: str) -> Asset:
    """The record called ``name``.  Raises InputError with the nearest name."""
    if name not in ASSETS:
        raise unknown_name("asset", name, ASSETS)
    return ASSETS[name]


def place(name: str) -> Path:
    """Where asset ``name`` is kept, whether or not it is there."""
    return home() / "assets" / asset(name).file


def find(name: str) -> Path | None:
    """The registered file of asset ``name``, or None.  Raises InputError for an unknown name."""
    file = place(name)
    return file if file.is_file() else None


def intact(name: str) -> bool:
    """Is asset ``name`` registered, and is its file the published one?"""
    file = find(name)
    return file is not None and bool(asset(name).sha256) and file_sha256(file) == asset(name).sha256


def require(name: str) -> Path:
    """The registered file of asset ``name``.  Raises MissingAsset, saying how to get it."""
    file = find(name)
    if file is None:
        raise MissingAsset(f"asset '{name}' ({asset(name).summary}) is not registered; {how_to_get(asset(name))}")
    return file


def how_to_get(wanted: Asset) -> str:
    if wanted.url:
        return f"run: avatarkit assets get {wanted.name}"
    return f"download it from {wanted.page} and run: avatarkit assets add {wanted.name} FILE"


def add(name: str, file: PathArg) -> Path:
    """Verify ``file`` and register it as asset ``name``.

    Raises InputError when it is not that file (checksum), FileFormatError when it cannot be read as what it should be.
    """
    wanted, source = asset(name), Path(file)
    if wanted.reader:
        from avatarkit.head.registering import register_head_file

        register_head_file(wanted.reader, source, place(name))
        return place(name)
    with explained(source):
        digest = file_sha256(source)
    if digest != wanted.sha256:
        raise InputError(
            f"{source}: not the published '{name}' (sha256 {digest[:12]}…, expected {wanted.sha256[:12]}…); get it from {wanted.url}"
        )
    with explained(source), source.open("rb") as stream, atomic_write(place(name)) as out:
        while block := stream.read(BLOCK):
            out.write(block)
    return place(name)


def file_sha256(file: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(name: str, *, progress: Callable[[int, int], None] | None = None, timeout: float = TIMEOUT_S) -> Path:
    """Fetch asset ``name`` from its publisher, verify its checksum, and only then put it in place.

    progress(received, total) in bytes; timeout: seconds without any data.  Raises MissingAsset where the file has to be
    fetched by hand, EnvironmentProblem when the network or the server fails or the file is not the published one.
    """
    wanted = asset(name)
    if not wanted.url:
        raise MissingAsset(f"asset '{name}' needs a licence that only you can accept: {how_to_get(wanted)}")
    by_hand = f"or download {wanted.url} elsewhere and run: avatarkit assets add {name} FILE"
    try:
        with (
            urllib.request.urlopen(wanted.url, timeout=timeout) as response,
            atomic_write(place(name)) as out,
        ):
            _receive(response, out, wanted, progress, by_hand)
    except urllib.error.HTTPError as error:
        raise EnvironmentProblem(
            f"asset '{name}': the server answered {error.code} {error.reason}; try again later, {by_hand}"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        said = "no data arrived in time" if isinstance(reason, TimeoutError) else reason
        raise EnvironmentProblem(
            f"asset '{name}' could not be downloaded ({said}); check the network, {by_hand}"
        ) from error
    return place(name)


def _receive(
    response: http.client.HTTPResponse,
    out: BinaryIO,
    wanted: Asset,
    progress: Callable[[int, int], None] | None,
    by_hand: str,
) -> None:
    """Copy the body of ``response`` and check it; an error leaves nothing behind."""
    digest, received = hashlib.sha256(), 0
    while block := response.read(BLOCK):
        received += len(block)
        if received > wanted.size:
            break
        digest.update(block)
        out.write(block)
        if progress is not None:
            progress(received, wanted.size)
    if received < wanted.size:
        raise EnvironmentProblem(
            f"asset '{wanted.name}': the download ended after {received} of {wanted.size} bytes; try again, {by_hand}"
        )
    if received > wanted.size or digest.hexdigest() != wanted.sha256:
        raise EnvironmentProblem(
            f"asset '{wanted.name}': what {wanted.url} sent is not the published file (checksum differs), nothing was kept; "
            "update avatarkit if the publisher has changed it"
        )
