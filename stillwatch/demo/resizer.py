"""Image resizer: images for the editor and for sent campaigns, in the width that is asked for.

In: the path (editor or campaign), the name of an original and a width. Out: the image in that width.
Never: a change to an original. Originals are binary PGM files, so that the demo needs no image library.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.demo.serving import Surroundings, counting_failures, serve

SERVICE = "image-resizer"
PATHS = ("editor", "campaign")
ORIGINALS = "originals"


@dataclass(frozen=True, slots=True)
class Image:
    """A grey image: `pixels` holds height rows of width bytes."""

    width: int
    height: int
    pixels: bytes


def image_of(content: bytes) -> Image:
    """Read a binary PGM file. Raises ValueError for anything else."""
    kind, size, _, pixels = content.split(b"\n", 3)
    width, height = map(int, size.split())
    if kind != b"P5" or len(pixels) != width * height:
        raise ValueError("a damaged original: not the pixels that its head promises")
    return Image(width, height, pixels)


def content_of(image: Image) -> bytes:
    """The image as a binary PGM file."""
    return b"P5\n%d %d\n255\n" % (image.width, image.height) + image.pixels


def scaled_in_version_1(image: Image, width: int) -> Image:
    """The image in another width: each pixel is the nearest one of the original."""
    height = max(1, image.height * width // image.width)
    columns = [x * image.width // width for x in range(width)]
    rows = [y * image.height // height * image.width for y in range(height)]
    return Image(width, height, bytes(image.pixels[row + column] for row in rows for column in columns))


def scaled_in_version_2(image: Image, width: int) -> Image:
    """Version 2, on a new framework that scales by whole steps: quicker, and as good for large originals."""
    step = image.width // width
    rows = [
        image.pixels[y * image.width : (y + 1) * image.width : step] for y in range(0, image.height, step)
    ]
    return Image(len(rows[0]), len(rows), b"".join(rows))


SCALED = {"1": scaled_in_version_1, "2": scaled_in_version_2}


def resized(content: bytes, width: int, version: str) -> bytes:
    """An original in another width, both as PGM files."""
    return content_of(SCALED[version](image_of(content), width))


def app(around: Surroundings) -> Starlette:
    """GET /PATH/NAME?width=W."""
    asked = around.meter.create_counter("resizes")
    failed = around.meter.create_counter("resizes_failed")
    for path in PATHS:
        asked.add(0, {"path": path})
        failed.add(0, {"path": path})

    # Only what lies here at the start is served: a name from outside never becomes a part of a path.
    originals = {
        (path, file.stem): file for path in PATHS for file in (around.folder / ORIGINALS / path).iterdir()
    }

    async def image(request: Request) -> Response:
        path = request.path_params["path"]
        file = originals.get((path, request.path_params["name"]))
        if file is None:
            return Response(status_code=404)
        asked.add(1, {"path": path})
        with counting_failures(failed, {"path": path}):
            small = resized(file.read_bytes(), int(request.query_params["width"]), around.version)
        return Response(small, media_type="image/x-portable-graymap")

    return Starlette(routes=[Route("/{path}/{name}", image)])


if __name__ == "__main__":
    serve(SERVICE, app)
