"""Where the eye is drawn, without trained weights: what cannot be reached from the rim but over a barrier."""

import numpy as np

# Sweeps down, up, right and left. Zhang et al. make three rounds with two neighbours each; with one, the
# fifth round still changes a few pixels, and the tenth next to none.
_NUM_ROUNDS = 5
# Slope of the curve that raises contrast (Zhang et al., equation 10).
_CONTRAST = 10.0

# Linear sRGB to CIE XYZ, each row divided by the white point D65.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) / np.array(
    [[0.9505], [1.0], [1.089]]
)


def minimum_barrier_saliency(images: np.ndarray) -> np.ndarray:
    """Maps how much each pixel stands out from the picture's rim.

    A path from the rim to a pixel has a barrier: the largest value on it less the smallest. A pixel's
    distance is the lowest barrier of all paths, summed over the channels of CIE Lab (of a grey picture: the
    values themselves), divided by the picture's largest, and put through a curve that raises contrast. What
    is of the same colour as the rim, or joined to it by a slow change of colour, is dark; an object that the
    rim does not cut is bright. A slight change of the pixels changes the map slightly.

    Args:
        images: ``(batch, height, width, channels)``, float, [0, 1], 1 or 3 channels.

    Returns:
        ``(batch, height, width)``, float64, [0, 1]; 0 everywhere for a picture of one colour.

    Source:
        Zhang, Sclaroff, Lin, Shen, Price and Mech 2015, Minimum Barrier Salient Object Detection at 80 FPS
        (its map "MB", without the smoothing afterwards); here every sweep looks at one neighbour, so that a
        whole row can be computed at once.

    >>> images = np.zeros((1, 9, 9, 1))
    >>> images[0, 3:6, 3:6] = 1.0
    >>> minimum_barrier_saliency(images)[0, 4].round(2)
    array([0., 0., 0., 1., 1., 1., 0., 0., 0.])
    """
    values = _lab(images) if images.shape[-1] == 3 else np.asarray(images, np.float64)
    distances = _barriers(np.moveaxis(values, -1, 0)).sum(axis=0)
    largest = distances.max(axis=(1, 2), keepdims=True)
    share = np.divide(distances, largest, out=np.zeros_like(distances), where=largest > 0)
    curve = 1 / (1 + np.exp(-_CONTRAST * (share - 0.5)))
    low, high = 1 / (1 + np.exp(_CONTRAST * 0.5)), 1 / (1 + np.exp(-_CONTRAST * 0.5))
    return np.clip((curve - low) / (high - low), 0, 1)


def _lab(images: np.ndarray) -> np.ndarray:
    """CIE Lab of sRGB."""
    values = np.asarray(images, np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    bent = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _barriers(values: np.ndarray) -> np.ndarray:
    """The lowest barriers of planes ``(..., height, width)``, by sweeps over rows and columns."""
    shape = values.shape
    # Rows first: each of them then lies in one piece.
    planes = np.ascontiguousarray(np.moveaxis(values, -2, 0)).reshape(shape[-2], -1, shape[-1])
    distances = np.full_like(planes, np.inf)
    distances[[0, -1]] = 0
    distances[:, :, [0, -1]] = 0
    state = (planes, distances, planes.copy(), planes.copy())
    for _ in range(_NUM_ROUNDS):
        state = _swept(_swept(state))
    return np.moveaxis(state[1].reshape(shape[-2], *shape[:-2], shape[-1]), 0, -2)


_State = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _swept(state: _State) -> _State:
    """Sweeps over the first axis in both directions; then first and last axis change places."""
    values, distances, highest, lowest = state
    number = len(values)
    for places, step in ((range(1, number), -1), (range(number - 2, -1, -1), 1)):
        for place in places:
            before = place + step
            high = np.maximum(highest[before], values[place])
            low = np.minimum(lowest[before], values[place])
            barrier = high - low
            # What has not been reached itself leads nowhere.
            is_better = (barrier < distances[place]) & np.isfinite(distances[before])
            np.copyto(distances[place], barrier, where=is_better)
            np.copyto(highest[place], high, where=is_better)
            np.copyto(lowest[place], low, where=is_better)
    values, distances, highest, lowest = (
        np.ascontiguousarray(np.swapaxes(one, 0, 2)) for one in (values, distances, highest, lowest)
    )
    return values, distances, highest, lowest
