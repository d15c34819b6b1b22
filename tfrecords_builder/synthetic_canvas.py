"""A canvas for polygons that is drawn several times too large, shrunk, and lit."""

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from bioattack.tfrecords_builder.synthetic_shapes import Points, seen_from

Field = npt.NDArray[np.float32]
Colour = npt.NDArray[np.float64]

# Width of the canvas of a small picture: 64-pixel pictures are drawn four times too large.
_SMALLEST_CANVAS = 256


@dataclasses.dataclass(frozen=True)
class Light:
    """How a scene is lit.

    Args:
        direction_xyz: Unit vector towards the light, x to the right, y downwards, z towards the viewer.
        ambient: Share of light that comes from everywhere, in [0, 1].
        shadow: How dark a cast shadow is, in [0, 1].
    """

    direction_xyz: tuple[float, float, float]
    ambient: float
    shadow: float


def smoothed(field: Field, radius: int) -> Field:
    """Returns a field ``(size, size)`` averaged twice over squares of side ``2 * radius + 1``."""
    stop, start, count = _windows(len(field), radius)
    # Float64: a float32 running sum over a large picture loses the small differences.
    total = np.zeros((len(field) + 1, len(field)))
    wide = field.astype(np.float64)
    for _ in range(4):
        np.cumsum(wide, axis=0, out=total[1:])
        wide = ((total[stop] - total[start]) / count).T
    return wide.astype(np.float32)


@functools.cache
def _windows(size: int, radius: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Colour]:
    centre = np.arange(size)
    stop, start = np.minimum(centre + radius + 1, size), np.maximum(centre - radius, 0)
    return stop, start, (stop - start)[:, None].astype(np.float64)


class Canvas:
    """One layer of a picture: coloured polygons with a relief.

    Args:
        size: Side of the finished layer in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._scale = max(2, -(-_SMALLEST_CANVAS // size))
        full = (size * self._scale,) * 2
        self._colour, self._cover, self._relief = (Image.new(mode, full) for mode in ("RGB", "L", "L"))
        self._pens = [ImageDraw.Draw(image) for image in (self._colour, self._cover, self._relief)]

    def fill(self, outline: Points, view: Points, *, colour: Colour, height: float) -> None:
        """Fills a polygon.

        Args:
            outline: ``(points, 2)``, object coordinates.
            view: ``(3, 3)``, from object to picture coordinates.
            colour: Three values in [0, 1]; what is outside is clipped.
            height: Height of the part above the picture plane, in [0, 1].
        """
        pixels = (seen_from(outline, view) * self.size * self._scale - 0.5).ravel().tolist()
        red, green, blue = (int(value) for value in np.clip(colour * 255.0, 0.0, 255.0))
        colour_pen, cover_pen, relief_pen = self._pens
        colour_pen.polygon(pixels, fill=(red, green, blue))
        cover_pen.polygon(pixels, fill=255)
        relief_pen.polygon(pixels, fill=int(255 * height))

    def composed_over(self, picture: Field, light: Light, *, depth: float) -> Field:
        """Returns the lit layer over a picture, with the shadow that it casts.

        Args:
            picture: ``(size, size, 3)``, in [0, 1].
            light: The scene's light.
            depth: How far the layer floats above what is behind it, as a fraction of the picture's side.

        Returns:
            ``(size, size, 3)``, not clipped.
        """
        if self._cover.getbbox() is None:
            return picture
        cover = self._cover.reduce(self._scale)
        share = _fractions(cover)
        shade = _relief_shading(_fractions(self._relief.reduce(self._scale)), share, light)
        behind = picture * (1.0 - light.shadow * _shadow(cover, light, depth * self.size))[..., None]
        # The colour is zero where nothing was drawn, so shrinking has multiplied it with the cover already.
        colour = _fractions(self._colour.reduce(self._scale))
        return behind * (1.0 - share)[..., None] + colour * shade[..., None]


def _fractions(image: Image.Image) -> Field:
    return np.asarray(image, dtype=np.float32) / np.float32(255.0)


def _relief_shading(relief: Field, cover: Field, light: Light) -> Field:
    """Returns how brightly each pixel of a relief is lit, around 1."""
    size = len(cover)
    small, large = max(1, round(0.012 * size)), max(1, round(0.05 * size))
    height = smoothed(relief, small) * np.float32(0.04) + smoothed(cover, large) * np.float32(0.1)
    slope_y, slope_x = np.gradient(height * np.float32(size))
    x, y, z = light.direction_xyz
    facing = (z - x * slope_x - y * slope_y) / np.sqrt(1.0 + slope_x**2 + slope_y**2)
    diffuse = np.maximum(facing, 0.0)
    highlight = np.float32(0.35) * np.square(np.square(np.square(diffuse))) ** 3
    return np.asarray(light.ambient + (1.15 - light.ambient) * diffuse + highlight, dtype=np.float32)


def _shadow(cover: Image.Image, light: Light, distance: float) -> Field:
    """Returns the cover moved away from the light by ``distance`` pixels, with a soft edge."""
    x, y, _ = light.direction_xyz
    step = distance / max(float(np.hypot(x, y)), 1e-6)
    moved = cover.transform(
        cover.size, Image.Transform.AFFINE, (1, 0, x * step, 0, 1, y * step), Image.Resampling.BILINEAR
    )
    return _fractions(moved.filter(ImageFilter.BoxBlur(0.4 * distance)))


@functools.cache
def pixel_grid(size: int) -> tuple[Field, Field]:
    """Returns the x and y of every pixel's centre, each ``(size, size)``, as fractions of the picture."""
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    x, y = np.meshgrid(centres, centres)
    x.flags.writeable = y.flags.writeable = False
    return x, y
