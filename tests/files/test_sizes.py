from pumalib.files.sizes import size_in_words


def test_a_size_is_told_in_the_unit_that_fits() -> None:
    sizes = (0, 2_500, 3_000_000, 41e9, 9e15)
    assert [size_in_words(size) for size in sizes] == ["0.0 kB", "2.5 kB", "3.0 MB", "41.0 GB", "9,000,000.0 GB"]
