import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bioattack.testing.made_up_pictures import made_up_image, picture_bytes
from bioattack.tfrecords_builder import images
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.images import Crop, encode_png, read_picture


def _decoded(picture):
    return Image.open(io.BytesIO(picture.encoded))


def _pixels(picture):
    return np.asarray(_decoded(picture))


def _saved(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _as_the_spec_says(image, size):
    """The published loader's rule, step by step, with Pillow rounding the crop's box itself."""
    original_width, original_height = image.size
    width, height = original_width, original_height
    if height < size:
        height = size
        width = int(size * original_width / original_height)
    if width < size:
        width = size
        height = int((original_height / original_width) * size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.BILINEAR)
    half = size / 2
    return image.crop((width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half))


ODD_SIZES = [
    (33, 57),
    (57, 33),
    (31, 33),
    (33, 31),
    (17, 90),
    (91, 15),
    (32, 32),
    (35, 37),
    (1, 3),
    (7, 7),
    (64, 31),
]


@pytest.mark.parametrize("size", ODD_SIZES)
def test_center_crop_is_the_papers_rule(size):
    image = made_up_image(sum(size), size=size)
    found = Crop(32, "center").apply(image)
    assert found.size == (32, 32)
    assert found.tobytes() == _as_the_spec_says(image, 32).tobytes()


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (319, 321), (321, 319), (323, 325), (201, 300), (100, 80)]
)
def test_center_crop_at_the_papers_size(size):
    image = made_up_image(1, size=size)
    assert Crop(320, "center").apply(image).tobytes() == _as_the_spec_says(image, 320).tobytes()


# Worked out by hand: 375 * 320 / 333 = 360.36; box edges 20.5 and 6.5 round half to even.
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((375, 333), (375, 333, 28, 6)),
        ((361, 320), (361, 320, 20, 0)),
        ((375, 300), (400, 320, 40, 0)),
        ((200, 300), (320, 480, 0, 80)),
        ((2000, 1000), (2000, 1000, 840, 340)),
    ],
)
def test_center_crop_geometry_by_hand(size, expected):
    assert images.center_crop_geometry(*size, 320) == expected


@pytest.mark.parametrize("size", [(34, 40), (33, 33), (50, 36), (20, 21)])
@pytest.mark.parametrize("side", [31, 33])
def test_center_crop_is_square_for_odd_sides(size, side):
    assert Crop(side, "center").apply(made_up_image(0, size=size)).size == (side, side)


@pytest.mark.parametrize(
    ("size", "scaled", "corner"),
    [((60, 40), (30, 20), (5, 0)), ((40, 60), (20, 30), (0, 5)), ((10, 14), (20, 28), (0, 4))],
)
def test_scaled_crop_scales_the_shorter_side_and_cuts_the_centre(size, scaled, corner):
    image = made_up_image(3, size=size)
    left, upper = corner
    expected = image.resize(scaled, Image.BILINEAR).crop((left, upper, left + 20, upper + 20))
    found = np.asarray(Crop(20).apply(image)).astype(int)
    assert np.abs(found - np.asarray(expected)).max() <= 1


def test_scaled_crop_averages_when_it_scales_down():
    # A fine checkerboard becomes even grey where scaling down averages, and stays black and white where not.
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    scaled = np.asarray(Crop(8).apply(Image.fromarray(board.astype(np.uint8))))
    assert np.abs(scaled[1:-1, 1:-1].astype(int) - 127).max() <= 2


def test_crop_size_is_checked():
    with pytest.raises(RecordsError, match=r"--size must be at least 1 pixel. Received: 0"):
        Crop(0)


@pytest.mark.parametrize(
    ("file_format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L")]
)
def test_plain_files_are_kept_to_the_byte(file_format, mode):
    content = picture_bytes(0, file_format=file_format, mode=mode)
    picture = read_picture(content, "a")
    assert picture.encoded == content
    assert picture.source_sha256 == hashlib.sha256(content).hexdigest()
    assert (picture.format, picture.width, picture.height) == (file_format.lower(), 12, 10)
    assert picture.channels == (3 if mode == "RGB" else 1)


def test_cropped_jpeg_is_stored_exactly():
    content = picture_bytes(0, file_format="JPEG")
    picture = read_picture(content, "a", crop=Crop(8))
    expected = Crop(8).apply(Image.open(io.BytesIO(content)))
    assert picture.format == "png"
    assert np.array_equal(_pixels(picture), np.asarray(expected))
    assert picture.source_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("file_format", ["BMP", "GIF", "PPM", "TIFF", "WEBP"])
def test_other_formats_become_png(file_format):
    picture = read_picture(picture_bytes(0, file_format=file_format), "a")
    assert (picture.format, picture.channels) == ("png", 3)


def test_name_says_nothing():
    assert read_picture(picture_bytes(0, file_format="PNG"), "a.jpg").format == "png"


def test_cmyk_becomes_rgb():
    # Full cyan ink and nothing else is (0, 255, 255).
    picture = read_picture(_saved(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "JPEG", quality=100), "a")
    assert picture.format == "png"
    assert np.abs(_pixels(picture).astype(int) - [0, 255, 255]).max() <= 3


def test_sixteen_bit_grey_is_scaled():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    picture = read_picture(_saved(Image.fromarray(values), "PNG"), "a")
    assert _pixels(picture)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_sixteen_bit_tiff_is_scaled(byte_order):
    values = np.array([[0, 257, 32896, 65535]], byte_order)
    picture = read_picture(_saved(Image.fromarray(values), "TIFF"), "a")
    assert _pixels(picture)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour_is_stored_in_eight():
    # Written by hand, since Pillow writes no such file: one pixel (0x1234, 0xABCD, 0xFFFF).
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(b"\0" + bytes.fromhex("1234ABCDFFFF"))) + chunk(b"IEND", b"")
    picture = read_picture(content, "a")
    assert picture.encoded != content
    assert _pixels(picture).tolist() == [[[0x12, 0xAB, 0xFF]]]


@pytest.mark.parametrize("values", [np.float32([[0.5]]), np.int32([[70000]])])
def test_values_of_unknown_range_are_refused(values):
    with pytest.raises(RecordsError, match=r"odd.tif holds 32-bit values"):
        read_picture(_saved(Image.fromarray(values), "TIFF"), "odd.tif")


def test_palette_becomes_rgb():
    image = made_up_image(0).quantize(8)
    picture = read_picture(_saved(image, "PNG"), "a")
    assert np.array_equal(_pixels(picture), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode):
    clear = Image.new(mode, (2, 2), (10, 20, 30, 0) if mode == "RGBA" else (10, 0))
    assert (_pixels(read_picture(_saved(clear, "PNG"), "a")) == 255).all()


def test_half_transparency_is_mixed_with_white():
    half = Image.new("RGBA", (1, 1), (0, 100, 200, 51))  # a fifth of the colour, four fifths white
    assert _pixels(read_picture(_saved(half, "PNG"), "a")).tolist() == [[[204, 224, 244]]]


def test_transparent_palette_and_transparent_colour():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putpixel((1, 0), 1)
    palette = read_picture(_saved(image, "PNG", transparency=0), "a")
    assert _pixels(palette).tolist() == [[[255, 255, 255], [200, 0, 0]]]
    colour = read_picture(_saved(image.convert("RGB"), "PNG", transparency=(9, 9, 9)), "a")
    assert _pixels(colour).tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_one_bit_becomes_rgb():
    picture = read_picture(_saved(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG"), "a")
    assert _pixels(picture).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_grey_becomes_rgb_when_cropped():
    picture = read_picture(picture_bytes(0, mode="L"), "a", crop=Crop(4))
    assert picture.channels == 3
    assert np.ptp(_pixels(picture), axis=-1).max() == 0


def test_colour_becomes_grey_in_a_grey_set():
    assert read_picture(picture_bytes(0), "a", channels=1, crop=Crop(4)).channels == 1


@pytest.mark.parametrize(
    ("orientation", "turned"),
    # What the EXIF standard says of a stored row "1 2": 3 is upside down, 6 must be turned clockwise.
    [(3, [[2, 1]]), (6, [[1], [2]]), (8, [[2], [1]])],
)
def test_orientation_is_applied(orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array([[1, 2]], np.uint8))
    picture = read_picture(_saved(stored, "PNG", exif=exif), "a")
    assert _pixels(picture)[..., 0].tolist() == turned
    assert "exif" not in _decoded(picture).info


def test_turned_jpeg_is_not_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_picture(_saved(made_up_image(0), "JPEG", exif=exif), "a")
    assert (picture.format, picture.width, picture.height) == ("png", 10, 12)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_is_refused_by_name(file_format):
    frames = [made_up_image(seed) for seed in (1, 2)]
    content = _saved(frames[0], file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(RecordsError, match=r"bee/7.gif is animated or has several pages \(2 frames\)"):
        read_picture(content, "bee/7.gif")


def test_camera_jpeg_with_a_second_picture_is_read():
    content = _saved(made_up_image(1), "MPO", save_all=True, append_images=[made_up_image(2)])
    picture = read_picture(content, "a", crop=Crop(4))
    first = Image.open(io.BytesIO(_saved(made_up_image(1), "JPEG")))
    assert np.array_equal(_pixels(picture), np.asarray(Crop(4).apply(first)))


@pytest.mark.parametrize("crop", [None, Crop(8)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_is_refused_by_name(crop, file_format, part):
    content = picture_bytes(0, file_format=file_format, size=(64, 48))
    with pytest.raises(RecordsError, match=r"ant/3.jpg is (damaged|not a picture)"):
        read_picture(content[: int(len(content) * part)], "ant/3.jpg", crop=crop)


def test_png_with_a_wrong_checksum_is_refused_where_it_would_be_kept():
    content = bytearray(picture_bytes(0))
    content[
        content.index(b"IDAT") + 4 + struct.unpack_from(">I", content, content.index(b"IDAT") - 4)[0]
    ] ^= 1
    with pytest.raises(RecordsError, match=r"a.png is damaged"):
        read_picture(bytes(content), "a.png")


def test_empty_file_is_refused_by_name():
    with pytest.raises(RecordsError, match=r"ant/3.jpg is empty \(zero bytes\)"):
        read_picture(b"", "ant/3.jpg")


@pytest.mark.parametrize(
    "content", [b"these are no pixels\n" * 50, b"<svg></svg>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_is_refused_by_name(content):
    with pytest.raises(RecordsError, match=r"ant/3.jpg is (not a picture|damaged).*--skip-bad"):
        read_picture(content, "ant/3.jpg")


def test_decompression_bomb_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    content += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    with pytest.raises(RecordsError, match=r"bomb.png is damaged .*decompression bomb"):
        read_picture(content, "bomb.png")


def test_somewhat_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(RecordsError, match=r"a.png is too large to be safe \(12 x 10 pixels\)"):
        read_picture(picture_bytes(0), "a.png")


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_encode_png_is_exact(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = encode_png(pixels)
    assert np.array_equal(_pixels(picture).reshape(shape), pixels)
    assert picture.source_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert (picture.height, picture.width, picture.channels) == (5, 4, 3 if shape[-1] == 3 else 1)


def test_encode_png_writes_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    content = _saved(made_up_image(0), "JPEG", exif=exif, icc_profile=b"profile", comment=b"by whom")
    assert set(_decoded(read_picture(content, "a", crop=Crop(4))).info) == set()
