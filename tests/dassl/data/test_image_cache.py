import copy
import multiprocessing
import pickle

import pytest
from PIL import Image

from dassl.data.image_cache import ImageCache


def picture(value, size=(5, 3)):
    return Image.new("RGB", size, (value, 0, 0))


def test_what_is_put_in_comes_out_as_a_new_image():
    cache = ImageCache(3, 1000)
    image = Image.effect_noise((7, 5), 90).convert("RGB")
    cache.put(1, "a", image)
    found = cache.get(1, "a")
    assert found == image and found is not cache.get(1, "a")
    assert cache.get(0, "a") is None and cache.get(1, "b") is None and cache.get(3, "a") is None
    cache.put(1, "b", picture(2))
    assert cache.get(1, "b") == picture(2) and len(cache) == 1


def test_budget_is_kept_and_smaller_images_fill_what_is_left():
    cache = ImageCache(10, 100)  # of 45 bytes
    for index, size in enumerate([(5, 3), (5, 3), (5, 3), (3, 1), (1, 1)]):
        cache.put(index, "x", picture(index, size))
    assert [cache.get(index, "x") is not None for index in range(5)] == [True, True, False, True, False]
    cache.put(0, "x", picture(0))  # already there
    assert len(cache) == 3


def test_metadata_comes_along_and_counts():
    cache = ImageCache(3, 1000)
    image = picture(1)
    image.info["exif"] = bytes(600)
    cache.put(0, "a", image)
    cache.put(1, "a", image)
    assert cache.get(0, "a").info == image.info and cache.get(0, "a") == image
    assert cache.get(1, "a") is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_a_copy_is_empty_and_stays_so(duplicate):
    cache = ImageCache(3, 1000)
    cache.put(0, "a", picture(1))
    other = duplicate(cache)
    other.put(0, "a", picture(1))
    assert other.get(0, "a") is None and len(other) == 0 and len(cache) == 1


def fill(cache, begin, indices):
    begin.wait()
    for index in indices:
        cache.put(index, "x", picture(index % 256, (index % 7 + 1, 2)))


def test_forked_processes_share_what_they_put_in():
    context = multiprocessing.get_context("fork")
    count = 8000
    cache, begin = ImageCache(count, 10**6), context.Barrier(2)
    processes = [context.Process(target=fill, args=(cache, begin, range(first, count, 2))) for first in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(cache) == count
    assert all(cache.get(index, "x") == picture(index % 256, (index % 7 + 1, 2)) for index in range(count))
